/*
 * Live reload: the first worker looks at the targets file now and then, and
 * when it has changed and stayed the same for a moment, a thread reads it,
 * so that no event waits for a disk or for 50,000 lines.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <pthread.h>
#include "ngx_http_prom_proxy.h"


/* a file may be written in several steps: it is read once it has settled */

#define NGX_HTTP_PROM_WATCH_SETTLE   200
#define NGX_HTTP_PROM_WATCH_TRIES    25

/* while the thread is at work */

#define NGX_HTTP_PROM_WATCH_POLL     10


struct ngx_http_prom_watch_s {
    ngx_event_t                       event;
    ngx_http_prom_proxy_main_conf_t  *conf;
    ngx_prom_registry_t              *registry;

    ngx_prom_file_id_t                id;       /* as it was last time */
    ngx_uint_t                        tries;
    ngx_uint_t                        failing;  /* for a passing reason */

    /* the thread's, while it is running and not done */

    pthread_t                         thread;
    ngx_uint_t                        running;
    ngx_atomic_t                      done;
    ngx_log_t                         log;      /* nothing is logged there */
    ngx_pool_t                       *pool;
    ngx_array_t                       errors;
    uint32_t                          count;
    ngx_msec_t                        took;
    ngx_int_t                         rc;
};


static void ngx_http_prom_watch_cleanup(void *data);
static void ngx_http_prom_watch_handler(ngx_event_t *ev);
static ngx_msec_t ngx_http_prom_watch_look(ngx_http_prom_watch_t *watch);
static ngx_int_t ngx_http_prom_watch_start(ngx_http_prom_watch_t *watch);
static void *ngx_http_prom_watch_thread(void *data);
static ngx_int_t ngx_http_prom_watch_load(ngx_http_prom_watch_t *watch);
static void ngx_http_prom_watch_full(ngx_http_prom_watch_t *watch,
    size_t size);
static void ngx_http_prom_watch_finish(ngx_http_prom_watch_t *watch);


ngx_int_t
ngx_http_prom_watch_init(ngx_cycle_t *cycle,
    ngx_http_prom_proxy_main_conf_t *pmcf)
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_prom_watch_t  *watch;

    if (ngx_process != NGX_PROCESS_SINGLE
        && (ngx_process != NGX_PROCESS_WORKER || ngx_worker != 0))
    {
        return NGX_OK;
    }

    watch = ngx_pcalloc(cycle->pool, sizeof(ngx_http_prom_watch_t));
    if (watch == NULL) {
        return NGX_ERROR;
    }

    watch->conf = pmcf;
    watch->registry = ngx_http_prom_registry(pmcf->zone);

    watch->event.handler = ngx_http_prom_watch_handler;
    watch->event.data = watch;
    watch->event.log = cycle->log;
    watch->event.cancelable = 1;

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_prom_watch_cleanup;
    cln->data = watch;

    pmcf->watch = watch;

    /* it may have changed while no worker looked */

    ngx_add_timer(&watch->event, NGX_HTTP_PROM_WATCH_POLL);

    return NGX_OK;
}


void
ngx_http_prom_watch_exit(ngx_http_prom_proxy_main_conf_t *pmcf)
{
    ngx_http_prom_watch_cleanup(pmcf->watch);
}


/* a single process outlives its configuration */

static void
ngx_http_prom_watch_cleanup(void *data)
{
    ngx_http_prom_watch_t *watch = data;

    if (watch->event.timer_set) {
        ngx_del_timer(&watch->event);
    }

    if (watch->running) {
        (void) pthread_join(watch->thread, NULL);
        ngx_http_prom_watch_finish(watch);
    }
}


static void
ngx_http_prom_watch_handler(ngx_event_t *ev)
{
    ngx_msec_t              next;
    ngx_http_prom_watch_t  *watch;

    watch = ev->data;

    if (watch->running) {

        if (!watch->done) {
            ngx_add_timer(ev, NGX_HTTP_PROM_WATCH_POLL);
            return;
        }

        /* nothing waits for its last steps either */

        (void) pthread_detach(watch->thread);

        ngx_memory_barrier();
        ngx_http_prom_watch_finish(watch);
    }

    /* the workers of a new configuration look for themselves */

    if (ngx_exiting
        || !ngx_prom_registry_configured(watch->registry,
                                         watch->conf->configuration))
    {
        return;
    }

    next = ngx_http_prom_watch_look(watch);

    ngx_add_timer(ev, next);
}


/* returns when to look again */

static ngx_msec_t
ngx_http_prom_watch_look(ngx_http_prom_watch_t *watch)
{
    ngx_msec_t          settle;
    ngx_prom_file_id_t  id;

    (void) ngx_prom_file_id(&watch->conf->file, &id);

    if (ngx_prom_registry_seen(watch->registry, &id)) {
        watch->tries = 0;
        return watch->conf->interval;
    }

    settle = ngx_min(watch->conf->interval, NGX_HTTP_PROM_WATCH_SETTLE);

    if (watch->tries == 0
        || (watch->tries < NGX_HTTP_PROM_WATCH_TRIES
            && ngx_memcmp(&id, &watch->id, sizeof(ngx_prom_file_id_t)) != 0))
    {
        watch->id = id;
        watch->tries++;
        return settle;
    }

    watch->tries = 0;

    if (ngx_http_prom_watch_start(watch) != NGX_OK) {
        return watch->conf->interval;
    }

    return NGX_HTTP_PROM_WATCH_POLL;
}


static ngx_int_t
ngx_http_prom_watch_start(ngx_http_prom_watch_t *watch)
{
    int       err;
    sigset_t  all, old;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, watch->event.log, 0,
                   "prom proxy: reading \"%V\"", &watch->conf->file);

    watch->log = *watch->event.log;
    watch->log.log_level = 0;

    watch->done = 0;
    watch->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, &watch->log);

    if (watch->pool == NULL) {
        return NGX_ERROR;
    }

    if (ngx_array_init(&watch->errors, watch->pool, 4, sizeof(ngx_str_t))
        != NGX_OK)
    {
        goto failed;
    }

    /* signals are for nginx's own thread */

    sigfillset(&all);
    (void) pthread_sigmask(SIG_BLOCK, &all, &old);

    err = pthread_create(&watch->thread, NULL, ngx_http_prom_watch_thread,
                         watch);

    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (err) {
        ngx_log_error(NGX_LOG_ALERT, watch->event.log, err,
                      "pthread_create() failed");
        goto failed;
    }

    watch->running = 1;

    return NGX_OK;

failed:

    ngx_destroy_pool(watch->pool);

    return NGX_ERROR;
}


static void *
ngx_http_prom_watch_thread(void *data)
{
    ngx_http_prom_watch_t *watch = data;

    watch->rc = ngx_http_prom_watch_load(watch);

    ngx_memory_barrier();

    watch->done = 1;

    return NULL;
}


static ngx_int_t
ngx_http_prom_watch_load(ngx_http_prom_watch_t *watch)
{
    size_t                size;
    ngx_int_t             rc;
    ngx_str_t             reason;
    ngx_msec_t            start;
    ngx_prom_file_id_t    id;
    ngx_prom_targets_t    pt;

    start = ngx_prom_registry_clock();

    rc = ngx_prom_file_load(&watch->conf->file, &pt, &id, &watch->errors,
                            watch->pool);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    ngx_prom_registry_acquire(watch->registry);

    /* not over what a new configuration has loaded meanwhile */

    if (!ngx_prom_registry_configured(watch->registry,
                                      watch->conf->configuration))
    {
        ngx_prom_registry_release(watch->registry);
        return NGX_AGAIN;
    }

    if (rc == NGX_OK) {
        watch->count = pt.count;

        rc = ngx_prom_registry_prepare(watch->registry, &pt, watch->pool,
                                       &size);
        if (rc == NGX_ERROR) {
            /* no memory */
            rc = NGX_ABORT;

        } else if (rc == NGX_DECLINED) {
            ngx_http_prom_watch_full(watch, size);
        }
    }

    watch->took = ngx_prom_registry_clock() - start;

    if (rc == NGX_OK) {
        ngx_str_set(&reason, "");

    } else if (watch->errors.nelts) {
        reason = *(ngx_str_t *) watch->errors.elts;

    } else {
        ngx_str_set(&reason, "no memory");
    }

    if (rc != NGX_ABORT || !watch->failing) {
        ngx_prom_registry_report(watch->registry,
                                 (rc == NGX_ABORT) ? NULL : &id, &reason,
                                 watch->took, 1);
    }

    if (rc == NGX_OK) {
        ngx_prom_registry_commit(watch->registry);
    }

    ngx_prom_registry_release(watch->registry);

    return rc;
}


/* size is that of a zone that would do */

static void
ngx_http_prom_watch_full(ngx_http_prom_watch_t *watch, size_t size)
{
    u_char           *p;
    size_t            len;
    ngx_str_t        *error;
    ngx_shm_zone_t   *zone;

    zone = watch->conf->zone;

    len = watch->conf->file.len + zone->shm.name.len + 256;

    error = ngx_array_push(&watch->errors);
    if (error == NULL) {
        return;
    }

    p = ngx_pnalloc(watch->pool, len);
    if (p == NULL) {
        watch->errors.nelts--;
        return;
    }

    error->data = p;
    error->len = ngx_snprintf(p, len, "%V: \"prom_proxy_zone\" \"%V\" of %uz "
                              "bytes is too small for %uD targets, %uzk "
                              "would do", &watch->conf->file, &zone->shm.name,
                              zone->shm.size, watch->count, size / 1024)
                 - p;
}


static void
ngx_http_prom_watch_finish(ngx_http_prom_watch_t *watch)
{
    ngx_str_t   *error;
    ngx_uint_t   i;

    watch->running = 0;

    if (watch->rc == NGX_OK) {
        ngx_log_error(NGX_LOG_NOTICE, watch->event.log, 0,
                      "%V: targets loaded: %uD, in %M ms", &watch->conf->file,
                      watch->count, watch->took);

    } else if (watch->rc != NGX_AGAIN
               && (watch->rc != NGX_ABORT || !watch->failing))
    {
        error = watch->errors.elts;

        for (i = 0; i < watch->errors.nelts; i++) {
            ngx_log_error(NGX_LOG_ERR, watch->event.log, 0, "%V", &error[i]);
        }

        ngx_log_error(NGX_LOG_ERR, watch->event.log, 0,
                      "%V: not loaded, the targets stay as they are",
                      &watch->conf->file);
    }

    if (watch->rc != NGX_AGAIN) {
        watch->failing = (watch->rc == NGX_ABORT);
    }

    ngx_destroy_pool(watch->pool);
}
