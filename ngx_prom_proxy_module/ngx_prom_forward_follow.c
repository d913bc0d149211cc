/*
 * A file that each worker follows: once it has changed and stayed the same for
 * a moment, a thread reads and parses it, so that no event waits for a disk or
 * for many lines.  Each worker has what was parsed for itself.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <pthread.h>
#include "ngx_prom_file.h"
#include "ngx_prom_forward.h"


#define NGX_PROM_FORWARD_INTERVAL  1000   /* ms between two looks */
#define NGX_PROM_FORWARD_SETTLE    200    /* while it is being written */
#define NGX_PROM_FORWARD_TRIES     25     /* then it is read as it is */
#define NGX_PROM_FORWARD_BUSY_POLL 20     /* while the thread is at work */


/* what is being read, and then what was: all of it is in the pool */

typedef struct {
    ngx_pool_t                      *pool;
    ngx_array_t                      errors;     /* of ngx_str_t */
    ngx_prom_file_t                  file;
    ngx_int_t                        rc;         /* as ngx_prom_file_read() */
    void                            *value;
} ngx_prom_forward_read_t;


struct ngx_prom_forward_follow_s {
    ngx_str_t                        name;
    const ngx_prom_forward_kind_t   *kind;

    ngx_prom_forward_read_t          current;
    ngx_uint_t                       generation;

    ngx_prom_file_id_t               seen;       /* as it was last read */
    ngx_prom_file_id_t               now;
    ngx_uint_t                       tries;
    ngx_uint_t                       failing;    /* for a passing reason */
    ngx_event_t                      event;

    /* the thread's while it is running and not done */

    ngx_log_t                        log;
    pthread_t                        thread;
    ngx_uint_t                       running;
    volatile ngx_uint_t              done;
    ngx_prom_forward_read_t          next;
};


static void ngx_prom_forward_follow_handler(ngx_event_t *ev);
static ngx_msec_t ngx_prom_forward_follow_look(
    ngx_prom_forward_follow_t *follow);
static ngx_int_t ngx_prom_forward_follow_start(
    ngx_prom_forward_follow_t *follow);
static ngx_int_t ngx_prom_forward_follow_thread(
    ngx_prom_forward_follow_t *follow);
static void *ngx_prom_forward_follow_work(void *data);
static void ngx_prom_forward_follow_end(ngx_prom_forward_follow_t *follow);
static ngx_int_t ngx_prom_forward_read_init(ngx_prom_forward_read_t *read,
    ngx_str_t *name, ngx_log_t *log);
static void ngx_prom_forward_read(ngx_prom_forward_read_t *read,
    const ngx_prom_forward_kind_t *kind);
static void *ngx_prom_forward_read_alloc(void *data, size_t size);
static void ngx_prom_forward_read_error(void *data, uint32_t line,
    uint32_t column, const char *reason);
static void ngx_prom_forward_follow_cleanup(void *data);


ngx_prom_forward_follow_t *
ngx_prom_forward_follow(ngx_conf_t *cf, ngx_str_t *file,
    const ngx_prom_forward_kind_t *kind)
{
    ngx_str_t                  *error;
    ngx_uint_t                  i;
    ngx_pool_cleanup_t         *cln;
    ngx_prom_forward_follow_t  *follow;

    follow = ngx_pcalloc(cf->pool, sizeof(ngx_prom_forward_follow_t));
    if (follow == NULL) {
        return NULL;
    }

    follow->name = *file;
    follow->kind = kind;

    if (ngx_conf_full_name(cf->cycle, &follow->name, 1) != NGX_OK) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    if (ngx_prom_forward_read_init(&follow->current, &follow->name, cf->log)
        != NGX_OK)
    {
        return NULL;
    }

    cln->handler = ngx_prom_forward_follow_cleanup;
    cln->data = follow;

    ngx_prom_forward_read(&follow->current, kind);

    /* that of the last configuration goes with it */

    follow->current.pool->log = &cf->cycle->new_log;

    /* the workers see whether it has changed since */

    follow->seen = follow->current.file.id;

    if (follow->current.rc == NGX_OK) {
        return follow;
    }

    error = follow->current.errors.elts;

    for (i = 0; i < follow->current.errors.nelts; i++) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%V", &error[i]);
    }

    if (follow->current.errors.nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is being changed, or there is no memory "
                           "for it", &follow->name);
    }

    return NULL;
}


void *
ngx_prom_forward_follow_current(ngx_prom_forward_follow_t *follow)
{
    return follow->current.value;
}


ngx_str_t *
ngx_prom_forward_follow_name(ngx_prom_forward_follow_t *follow)
{
    return &follow->name;
}


ngx_uint_t
ngx_prom_forward_follow_generation(ngx_prom_forward_follow_t *follow)
{
    return follow->generation;
}


ngx_int_t
ngx_prom_forward_follow_init(ngx_prom_forward_follow_t *follow,
    ngx_cycle_t *cycle)
{
    follow->event.handler = ngx_prom_forward_follow_handler;
    follow->event.data = follow;
    follow->event.log = cycle->log;
    follow->event.cancelable = 1;

    /* one that takes another's place may find the file changed long ago */

    ngx_add_timer(&follow->event, 1);

    return NGX_OK;
}


static void
ngx_prom_forward_follow_handler(ngx_event_t *ev)
{
    ngx_prom_forward_follow_t  *follow;

    follow = ev->data;

    if (!ngx_exiting) {
        ngx_add_timer(ev, ngx_prom_forward_follow_look(follow));
    }
}


/* returns when to look again */

static ngx_msec_t
ngx_prom_forward_follow_look(ngx_prom_forward_follow_t *follow)
{
    ngx_prom_file_id_t  now;

    if (follow->running) {

        if (!follow->done) {
            return NGX_PROM_FORWARD_BUSY_POLL;
        }

        ngx_prom_forward_follow_end(follow);

        return NGX_PROM_FORWARD_INTERVAL;
    }

    (void) ngx_prom_file_id(&follow->name, &now);

    if (ngx_memcmp(&now, &follow->seen, sizeof(ngx_prom_file_id_t)) == 0) {
        follow->tries = 0;
        return NGX_PROM_FORWARD_INTERVAL;
    }

    if (follow->tries == 0
        || (follow->tries < NGX_PROM_FORWARD_TRIES
            && ngx_memcmp(&now, &follow->now, sizeof(ngx_prom_file_id_t))
               != 0))
    {
        follow->now = now;
        follow->tries++;
        return NGX_PROM_FORWARD_SETTLE;
    }

    follow->tries = 0;

    if (ngx_prom_forward_follow_start(follow) != NGX_OK) {
        return NGX_PROM_FORWARD_INTERVAL;
    }

    return NGX_PROM_FORWARD_BUSY_POLL;
}


static ngx_int_t
ngx_prom_forward_follow_start(ngx_prom_forward_follow_t *follow)
{
    follow->log = *follow->event.log;
    follow->log.log_level = 0;
    follow->done = 0;

    if (ngx_prom_forward_read_init(&follow->next, &follow->name, &follow->log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_prom_forward_follow_thread(follow) != NGX_OK) {
        ngx_destroy_pool(follow->next.pool);
        return NGX_ERROR;
    }

    follow->running = 1;

    return NGX_OK;
}


/* signals are for nginx's own thread */

static ngx_int_t
ngx_prom_forward_follow_thread(ngx_prom_forward_follow_t *follow)
{
    int       err;
    sigset_t  all, old;

    sigfillset(&all);
    (void) pthread_sigmask(SIG_BLOCK, &all, &old);

    err = pthread_create(&follow->thread, NULL, ngx_prom_forward_follow_work,
                         follow);

    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (err) {
        ngx_log_error(NGX_LOG_ALERT, follow->event.log, err,
                      "pthread_create() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void *
ngx_prom_forward_follow_work(void *data)
{
    ngx_prom_forward_follow_t *follow = data;

    ngx_prom_forward_read(&follow->next, follow->kind);

    ngx_memory_barrier();

    follow->done = 1;

    return NULL;
}


/* a mistake is every worker's: one tells it */

static void
ngx_prom_forward_follow_end(ngx_prom_forward_follow_t *follow)
{
    ngx_log_t                *log;
    ngx_str_t                *error;
    ngx_uint_t                i, tell;
    ngx_prom_forward_read_t  *next;

    (void) pthread_join(follow->thread, NULL);

    follow->running = 0;

    log = follow->event.log;
    next = &follow->next;
    tell = (ngx_worker == 0);

    switch (next->rc) {

    case NGX_OK:
        ngx_destroy_pool(follow->current.pool);

        follow->current = *next;
        follow->current.pool->log = log;
        follow->seen = next->file.id;
        follow->failing = 0;
        follow->generation++;

        if (tell) {
            ngx_log_error(NGX_LOG_NOTICE, log, 0, "%V: \"%s\" loaded",
                          &follow->name, follow->kind->what);
        }

        return;

    case NGX_AGAIN:
        /* it was changed meanwhile */
        break;

    default:

        if (tell && (next->rc != NGX_ABORT || !follow->failing)) {
            error = next->errors.elts;

            for (i = 0; i < next->errors.nelts; i++) {
                ngx_log_error(NGX_LOG_ERR, log, 0, "%V", &error[i]);
            }

            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "%V: not loaded, \"%s\" stays as it is",
                          &follow->name, follow->kind->what);
        }

        /* what may pass is tried again */

        follow->failing = (next->rc == NGX_ABORT);

        if (next->rc != NGX_ABORT) {
            follow->seen = next->file.id;
        }
    }

    ngx_destroy_pool(next->pool);
}


static ngx_int_t
ngx_prom_forward_read_init(ngx_prom_forward_read_t *read, ngx_str_t *name,
    ngx_log_t *log)
{
    ngx_memzero(read, sizeof(ngx_prom_forward_read_t));

    read->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, log);
    if (read->pool == NULL) {
        return NGX_ERROR;
    }

    if (ngx_array_init(&read->errors, read->pool, 4, sizeof(ngx_str_t))
        != NGX_OK)
    {
        ngx_destroy_pool(read->pool);
        return NGX_ERROR;
    }

    read->file.name = name;
    read->file.errors = &read->errors;
    read->file.pool = read->pool;

    return NGX_OK;
}


static void
ngx_prom_forward_read(ngx_prom_forward_read_t *read,
    const ngx_prom_forward_kind_t *kind)
{
    uint32_t  errors;

    read->rc = ngx_prom_file_read(&read->file);

    if (read->rc != NGX_OK) {
        return;
    }

    errors = 0;

    read->value = kind->parse(ngx_prom_forward_read_alloc,
                              ngx_prom_forward_read_error, read,
                              read->file.text, read->file.len, &errors);

    if (read->value == NULL) {
        ngx_prom_file_wrong(&read->file, NGX_ENOMEM, ": cannot be read");
        read->rc = NGX_ABORT;
        return;
    }

    if (errors > NGX_PROM_ERRORS_MAX) {
        ngx_prom_file_wrong(&read->file, 0, ": %uD more mistakes",
                            errors - NGX_PROM_ERRORS_MAX);
    }

    if (errors) {
        read->rc = NGX_ERROR;
    }
}


static void *
ngx_prom_forward_read_alloc(void *data, size_t size)
{
    ngx_prom_forward_read_t *read = data;

    return ngx_palloc(read->pool, size);
}


static void
ngx_prom_forward_read_error(void *data, uint32_t line, uint32_t column,
    const char *reason)
{
    ngx_prom_forward_read_t *read = data;

    ngx_prom_file_wrong(&read->file, 0, ":%uD:%uD: %s", line, column, reason);
}


/* the thread has to end first: what it works in goes with the configuration */

static void
ngx_prom_forward_follow_cleanup(void *data)
{
    ngx_prom_forward_follow_t *follow = data;

    if (follow->event.timer_set) {
        ngx_del_timer(&follow->event);
    }

    if (follow->running) {
        (void) pthread_join(follow->thread, NULL);
        ngx_destroy_pool(follow->next.pool);
    }

    ngx_destroy_pool(follow->current.pool);
}
