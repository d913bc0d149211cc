/*
 * Live reload: the first worker looks at the sources now and then, and when
 * one has changed and all stayed the same for a moment, a thread reads them,
 * so that no event waits for a disk or for 50,000 lines.
 *
 * Poll clients come and go without files being read again: they take their
 * place beside the targets in use, also while a file is wrong.
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
    ngx_msec_t                        interval;

    ngx_prom_sources_t                now;      /* as they were last time */
    ngx_uint_t                        changed;  /* a bit for each that did */
    ngx_uint_t                        tries;
    ngx_uint_t                        failing;  /* for a passing reason */
    ngx_msec_t                        polled;   /* when clients were taken */
    uint32_t                          told;     /* names that are hidden */
    ngx_uint_t                        full;     /* for the clients */

    /* the thread's, while it is running and not done */

    pthread_t                         thread;
    ngx_uint_t                        running;
    ngx_atomic_t                      done;
    ngx_log_t                         log;      /* nothing is logged there */
    ngx_pool_t                       *pool;
    ngx_array_t                       errors;
    ngx_array_t                       hidden;   /* clients' names */
    ngx_str_t                         name;     /* of what has changed */
    uint32_t                          count;
    ngx_uint_t                        left_out; /* no room for the clients */
    ngx_msec_t                        took;
    ngx_int_t                         rc;
};


static void ngx_http_prom_watch_cleanup(void *data);
static void ngx_http_prom_watch_handler(ngx_event_t *ev);
static ngx_msec_t ngx_http_prom_watch_look(ngx_http_prom_watch_t *watch);
static ngx_uint_t ngx_http_prom_watch_settled(ngx_http_prom_watch_t *watch,
    const ngx_prom_sources_t *now);
static ngx_uint_t ngx_http_prom_watch_polls(ngx_http_prom_watch_t *watch,
    const ngx_prom_sources_t *seen);
static ngx_int_t ngx_http_prom_watch_start(ngx_http_prom_watch_t *watch);
static ngx_int_t ngx_http_prom_watch_name(ngx_http_prom_watch_t *watch);
static void *ngx_http_prom_watch_thread(void *data);
static ngx_int_t ngx_http_prom_watch_load(ngx_http_prom_watch_t *watch);
static ngx_int_t ngx_http_prom_watch_clients(ngx_http_prom_watch_t *watch);
static ngx_int_t ngx_http_prom_watch_prepare(ngx_http_prom_watch_t *watch,
    ngx_prom_targets_t *pt, ngx_uint_t *version);
static void ngx_http_prom_watch_full(ngx_http_prom_watch_t *watch,
    uint32_t count, size_t size);
static void ngx_http_prom_watch_finish(ngx_http_prom_watch_t *watch);
static void ngx_http_prom_watch_tell(ngx_http_prom_watch_t *watch);


ngx_int_t
ngx_http_prom_watch_init(ngx_cycle_t *cycle,
    ngx_http_prom_proxy_main_conf_t *pmcf)
{
    ngx_uint_t              i;
    ngx_msec_t              interval;
    ngx_pool_cleanup_t     *cln;
    ngx_http_prom_watch_t  *watch;

    if (ngx_process != NGX_PROCESS_SINGLE
        && (ngx_process != NGX_PROCESS_WORKER || ngx_worker != 0))
    {
        return NGX_OK;
    }

    /* the shorter interval is that of all sources that are looked at */

    interval = pmcf->polls;

    for (i = 0; i < NGX_PROM_SOURCES; i++) {
        if (pmcf->sources[i].interval
            && (interval == 0 || pmcf->sources[i].interval < interval))
        {
            interval = pmcf->sources[i].interval;
        }
    }

    if (interval == 0) {
        return NGX_OK;
    }

    watch = ngx_pcalloc(cycle->pool, sizeof(ngx_http_prom_watch_t));
    if (watch == NULL) {
        return NGX_ERROR;
    }

    watch->conf = pmcf;
    watch->interval = interval;
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
    ngx_uint_t           i;
    ngx_prom_source_t   *source;
    ngx_prom_sources_t   now, seen, used;

    ngx_prom_registry_sources(watch->registry, &seen, &used);

    now = seen;
    watch->changed = 0;

    for (i = 0; i < NGX_PROM_SOURCES; i++) {
        source = &watch->conf->sources[i];

        if (source->interval == 0) {
            continue;
        }

        (void) ngx_prom_file_id(&source->file, &now.id[i]);

        if (ngx_memcmp(&now.id[i], &seen.id[i], sizeof(ngx_prom_file_id_t))
            != 0)
        {
            watch->changed |= 1 << i;
        }
    }

    if (ngx_http_prom_watch_settled(watch, &now)) {
        watch->tries = 0;

    } else if (ngx_http_prom_watch_polls(watch, &seen)) {
        watch->changed = 0;

    } else {
        return watch->changed
               ? ngx_min(watch->interval, NGX_HTTP_PROM_WATCH_SETTLE)
               : watch->interval;
    }

    if (ngx_http_prom_watch_start(watch) != NGX_OK) {
        return watch->interval;
    }

    return NGX_HTTP_PROM_WATCH_POLL;
}


/* true if files have changed, and are as they were last time */

static ngx_uint_t
ngx_http_prom_watch_settled(ngx_http_prom_watch_t *watch,
    const ngx_prom_sources_t *now)
{
    if (!watch->changed) {
        watch->tries = 0;
        return 0;
    }

    if (watch->tries == 0
        || (watch->tries < NGX_HTTP_PROM_WATCH_TRIES
            && ngx_memcmp(now->id, watch->now.id, sizeof(now->id)) != 0))
    {
        watch->now = *now;
        watch->tries++;
        return 0;
    }

    return 1;
}


/* true if clients have come or gone; those that go on doing so have to wait */

static ngx_uint_t
ngx_http_prom_watch_polls(ngx_http_prom_watch_t *watch,
    const ngx_prom_sources_t *seen)
{
    ngx_prom_poll_zone_t  *zone;

    if (watch->conf->polls == 0) {
        return 0;
    }

    zone = ngx_http_prom_proxy_polls(watch->conf->poll_zone);

    ngx_prom_poll_expire(zone);

    if (ngx_prom_poll_version(zone) == seen->polls
        || (watch->polled
            && ngx_current_msec - watch->polled < watch->conf->polls))
    {
        return 0;
    }

    watch->polled = ngx_current_msec;

    return 1;
}


static ngx_int_t
ngx_http_prom_watch_start(ngx_http_prom_watch_t *watch)
{
    int       err;
    sigset_t  all, old;

    watch->log = *watch->event.log;
    watch->log.log_level = 0;

    watch->done = 0;
    watch->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, &watch->log);

    if (watch->pool == NULL) {
        return NGX_ERROR;
    }

    if (ngx_array_init(&watch->errors, watch->pool, 4, sizeof(ngx_str_t))
        != NGX_OK
        || ngx_array_init(&watch->hidden, watch->pool, 4, sizeof(ngx_str_t))
           != NGX_OK
        || ngx_http_prom_watch_name(watch) != NGX_OK)
    {
        goto failed;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, watch->event.log, 0,
                   "prom proxy: reading, for %V", &watch->name);

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


/* "FILE", "FILE and FILE" and so on, or the clients */

static ngx_int_t
ngx_http_prom_watch_name(ngx_http_prom_watch_t *watch)
{
    u_char      *p;
    size_t       len;
    ngx_str_t   *file;
    ngx_uint_t   i;

    if (!watch->changed) {
        ngx_str_set(&watch->name, "poll clients");
        return NGX_OK;
    }

    len = 0;

    for (i = 0; i < NGX_PROM_SOURCES; i++) {
        len += watch->conf->sources[i].file.len + sizeof(" and ") - 1;
    }

    p = ngx_pnalloc(watch->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    watch->name.data = p;

    for (i = 0; i < NGX_PROM_SOURCES; i++) {

        if (!(watch->changed & (1 << i))) {
            continue;
        }

        if (p != watch->name.data) {
            p = ngx_cpymem(p, " and ", sizeof(" and ") - 1);
        }

        file = &watch->conf->sources[i].file;
        p = ngx_cpymem(p, file->data, file->len);
    }

    watch->name.len = p - watch->name.data;

    return NGX_OK;
}


static void *
ngx_http_prom_watch_thread(void *data)
{
    ngx_http_prom_watch_t *watch = data;

    watch->left_out = 0;

    watch->rc = watch->changed ? ngx_http_prom_watch_load(watch)
                               : ngx_http_prom_watch_clients(watch);

    ngx_memory_barrier();

    watch->done = 1;

    return NULL;
}


static ngx_int_t
ngx_http_prom_watch_load(ngx_http_prom_watch_t *watch)
{
    ngx_int_t             rc;
    ngx_str_t             reason;
    ngx_msec_t            start;
    ngx_prom_sources_t    read, seen, used;
    ngx_prom_targets_t    pt;

    start = ngx_prom_registry_clock();

    ngx_prom_registry_sources(watch->registry, &seen, &used);

    rc = ngx_prom_source_load(watch->conf->sources, &used, &pt, &read,
                              &watch->errors, watch->pool);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    /* what there is stays, were it nothing */

    if (rc == NGX_DECLINED) {
        rc = NGX_ERROR;
    }

    ngx_prom_registry_acquire(watch->registry);

    /* not over what a new configuration has loaded meanwhile */

    if (!ngx_prom_registry_configured(watch->registry,
                                      watch->conf->configuration))
    {
        ngx_prom_registry_release(watch->registry);
        return NGX_AGAIN;
    }

    read.polls = seen.polls;

    if (rc == NGX_OK) {
        rc = ngx_http_prom_watch_prepare(watch, &pt, &read.polls);
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
                                 (rc == NGX_ABORT) ? NULL : &read, &reason,
                                 watch->took, 1);
    }

    if (rc == NGX_OK) {
        ngx_prom_registry_commit(watch->registry);
    }

    ngx_prom_registry_release(watch->registry);

    return rc;
}


/* as above, with the files' targets that are in use */

static ngx_int_t
ngx_http_prom_watch_clients(ngx_http_prom_watch_t *watch)
{
    ngx_int_t            rc;
    ngx_uint_t           version;
    ngx_msec_t           start;
    ngx_prom_targets_t   pt;

    version = 0;
    start = ngx_prom_registry_clock();

    ngx_prom_registry_acquire(watch->registry);

    if (!ngx_prom_registry_configured(watch->registry,
                                      watch->conf->configuration))
    {
        ngx_prom_registry_release(watch->registry);
        return NGX_AGAIN;
    }

    rc = ngx_prom_registry_targets(watch->registry, &pt, watch->pool);

    if (rc == NGX_OK) {
        rc = ngx_http_prom_watch_prepare(watch, &pt, &version);
    }

    if (rc == NGX_OK) {
        ngx_prom_registry_polled(watch->registry, version);
        ngx_prom_registry_commit(watch->registry);
    }

    ngx_prom_registry_release(watch->registry);

    watch->took = ngx_prom_registry_clock() - start;

    return (rc == NGX_ERROR) ? NGX_ABORT : rc;
}


/*
 * Prepares targets with the poll clients beside them, or with as many of these
 * as there is room for: no file is refused for them.
 */

static ngx_int_t
ngx_http_prom_watch_prepare(ngx_http_prom_watch_t *watch,
    ngx_prom_targets_t *pt, ngx_uint_t *version)
{
    size_t                 size;
    uint32_t               count, all;
    ngx_int_t              rc;
    ngx_prom_poll_zone_t  *zone;

    count = pt->count;

    if (watch->conf->polls) {
        zone = ngx_http_prom_proxy_polls(watch->conf->poll_zone);

        if (ngx_prom_source_polls(zone, pt, version, &watch->hidden,
                                  watch->pool)
            != NGX_OK)
        {
            return NGX_ABORT;
        }
    }

    all = pt->count;

    rc = ngx_prom_registry_prepare_most(watch->registry, pt, count,
                                        watch->pool, &size);

    if (size) {
        ngx_http_prom_watch_full(watch, all, size);
        watch->left_out = all - pt->count;
    }

    watch->count = pt->count;

    /* no memory */

    return (rc == NGX_ERROR) ? NGX_ABORT : rc;
}


/* size is that of a zone that would do */

static void
ngx_http_prom_watch_full(ngx_http_prom_watch_t *watch, uint32_t count,
    size_t size)
{
    u_char           *p;
    size_t            len;
    ngx_str_t        *error;
    ngx_shm_zone_t   *zone;

    zone = watch->conf->zone;

    len = watch->name.len + zone->shm.name.len + 256;

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
                              "would do", &watch->name, &zone->shm.name,
                              zone->shm.size, count, size / 1024)
                 - p;
}


static void
ngx_http_prom_watch_finish(ngx_http_prom_watch_t *watch)
{
    ngx_str_t   *error;
    ngx_uint_t   i, level;

    watch->running = 0;

    if (watch->rc == NGX_OK) {

        /* clients come and go all the time */

        level = watch->changed ? NGX_LOG_NOTICE : NGX_LOG_INFO;

        ngx_log_error(level, watch->event.log, 0,
                      "%V: targets loaded: %uD, in %M ms", &watch->name,
                      watch->count, watch->took);

        ngx_http_prom_watch_tell(watch);

    } else if (watch->rc != NGX_AGAIN
               && (watch->rc != NGX_ABORT || !watch->failing))
    {
        error = watch->errors.elts;

        for (i = 0; i < watch->errors.nelts; i++) {
            ngx_log_error(NGX_LOG_ERR, watch->event.log, 0, "%V", &error[i]);
        }

        ngx_log_error(NGX_LOG_ERR, watch->event.log, 0,
                      "%V: not loaded, the targets stay as they are",
                      &watch->name);
    }

    if (watch->rc != NGX_AGAIN) {
        watch->failing = (watch->rc == NGX_ABORT);
    }

    ngx_destroy_pool(watch->pool);
}


/* what has to do with the clients, when it begins and not each time */

static void
ngx_http_prom_watch_tell(ngx_http_prom_watch_t *watch)
{
    uint32_t     hash;
    ngx_str_t   *name;
    ngx_uint_t   i;

    if (watch->left_out && !watch->full && watch->errors.nelts) {
        ngx_log_error(NGX_LOG_ERR, watch->event.log, 0,
                      "%V; %ui poll clients are no targets",
                      (ngx_str_t *) watch->errors.elts, watch->left_out);
    }

    watch->full = watch->left_out;

    name = watch->hidden.elts;
    ngx_crc32_init(hash);

    for (i = 0; i < watch->hidden.nelts; i++) {
        ngx_crc32_update(&hash, name[i].data, name[i].len);
        ngx_crc32_update(&hash, (u_char *) "/", 1);
    }

    ngx_crc32_final(hash);

    if (hash == watch->told) {
        return;
    }

    watch->told = hash;

    for (i = 0; i < watch->hidden.nelts; i++) {

        if (i == NGX_PROM_ERRORS_MAX) {
            ngx_log_error(NGX_LOG_WARN, watch->event.log, 0,
                          "and %ui more poll clients",
                          watch->hidden.nelts - i);
            break;
        }

        ngx_log_error(NGX_LOG_WARN, watch->event.log, 0,
                      "poll client \"%V\" is no target: a file has a target "
                      "with that name", &name[i]);
    }
}
