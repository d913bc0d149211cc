/*
 * Who a request's credentials are: "users" of "prom_forward", a file as
 * htpasswd makes it.
 *
 * A hash that is worth its name takes a processor for a tenth of a second, so
 * threads compute it, and no credentials twice at once.  What came of it is
 * remembered for a while, under a hash with a key that only this process has:
 * a scraper sends the same with each scrape.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_prom_forward.h"
#include "ngx_prom_forward_core.h"

#include <crypt.h>

#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif

#if (NGX_OPENSSL)
#include <openssl/hmac.h>
#include <openssl/rand.h>
#endif


#define NGX_PROM_FORWARD_DIGEST     32
#define NGX_PROM_FORWARD_BASIC      1024    /* bytes of base64 */
#define NGX_PROM_FORWARD_CHECKS     16      /* at once, in a worker */
#define NGX_PROM_FORWARD_KNOWN      1024    /* the longest unused goes */
#define NGX_PROM_FORWARD_RIGHT      600000  /* ms without use */
#define NGX_PROM_FORWARD_WRONG      5000


/* one for each worker and block */

typedef struct {
    ngx_rbtree_t                     known;     /* by digest */
    ngx_rbtree_node_t                sentinel;
    ngx_queue_t                      recent;    /* the last used first */
    ngx_uint_t                       count;
    ngx_queue_t                      checks;    /* under way */
    ngx_uint_t                       nchecks;
    u_char                           key[NGX_PROM_FORWARD_DIGEST];
} ngx_prom_forward_credentials_t;


typedef struct {
    ngx_str_node_t                   sn;
    ngx_queue_t                      queue;
    ngx_msec_t                       until;
    ngx_uint_t                       generation;    /* of the file */
    ngx_uint_t                       right;
    size_t                           user_len;
    u_char                           digest[NGX_PROM_FORWARD_DIGEST];
    u_char                           user[NGX_PROM_NAME_MAX];
} ngx_prom_forward_known_t;


/* a check under way, in a pool of its own: its waiters may all be gone */

typedef struct {
    ngx_queue_t                      queue;
    ngx_queue_t                      waiters;
    ngx_prom_forward_t              *forward;
    ngx_pool_t                      *pool;
    ngx_uint_t                       generation;
    ngx_str_t                        user;
    u_char                           digest[NGX_PROM_FORWARD_DIGEST];

    /* the thread's */

    char                            *password;
    char                            *hash;
    ngx_uint_t                       exists;    /* the user does */
    ngx_uint_t                       right;
    struct crypt_data                crypt;
} ngx_prom_forward_check_t;


typedef struct {
    ngx_queue_t                      queue;
    ngx_str_t                       *user;
    ngx_pool_t                      *pool;
    ngx_prom_forward_users_pt        handler;
    void                            *data;
} ngx_prom_forward_waiter_t;


static void *ngx_prom_forward_parse_users(ngx_prom_targets_alloc_pt alloc,
    ngx_prom_targets_error_pt error, void *data, char *text, size_t len,
    uint32_t *errors);


const ngx_prom_forward_kind_t  ngx_prom_forward_users_kind = {
    ngx_prom_forward_parse_users,
    "users"
};


#if (NGX_OPENSSL && NGX_THREADS)

static ngx_int_t ngx_prom_forward_basic(ngx_str_t *credentials,
    ngx_pool_t *pool, ngx_str_t *basic);
static ngx_prom_forward_known_t *ngx_prom_forward_known_find(
    ngx_prom_forward_credentials_t *fc, u_char *digest,
    ngx_uint_t generation);
static void ngx_prom_forward_known_add(ngx_prom_forward_credentials_t *fc,
    ngx_prom_forward_check_t *check);
static void ngx_prom_forward_known_forget(ngx_prom_forward_credentials_t *fc,
    ngx_prom_forward_known_t *known);
static ngx_prom_forward_check_t *ngx_prom_forward_check_find(
    ngx_prom_forward_credentials_t *fc, u_char *digest,
    ngx_uint_t generation);
static ngx_int_t ngx_prom_forward_check_start(ngx_prom_forward_t *forward,
    ngx_str_t *basic, u_char *digest, ngx_log_t *log,
    ngx_prom_forward_check_t **checkp);
static ngx_int_t ngx_prom_forward_check_fill(ngx_prom_forward_check_t *check,
    ngx_str_t *basic);
static void ngx_prom_forward_check_thread(void *data, ngx_log_t *log);
static void ngx_prom_forward_check_done(ngx_event_t *ev);


static ngx_str_t  ngx_prom_forward_thread_pool = ngx_string("default");


ngx_int_t
ngx_prom_forward_users_init(ngx_prom_forward_t *forward, ngx_cycle_t *cycle)
{
    ngx_prom_forward_credentials_t  *fc;

    fc = ngx_pcalloc(cycle->pool, sizeof(ngx_prom_forward_credentials_t));
    if (fc == NULL) {
        return NGX_ERROR;
    }

    ngx_rbtree_init(&fc->known, &fc->sentinel, ngx_str_rbtree_insert_value);
    ngx_queue_init(&fc->recent);
    ngx_queue_init(&fc->checks);

    if (RAND_bytes(fc->key, NGX_PROM_FORWARD_DIGEST) != 1) {
        ngx_ssl_error(NGX_LOG_EMERG, cycle->log, 0, "RAND_bytes() failed");
        return NGX_ERROR;
    }

    forward->credentials = fc;

    return NGX_OK;
}


ngx_int_t
ngx_prom_forward_users_check(ngx_prom_forward_t *forward,
    ngx_str_t *credentials, ngx_pool_t *pool, ngx_log_t *log, ngx_str_t *user,
    ngx_prom_forward_users_pt handler, void *data, void **checking)
{
    u_char                           digest[NGX_PROM_FORWARD_DIGEST];
    ngx_int_t                        rc;
    ngx_str_t                        basic;
    ngx_uint_t                       generation;
    ngx_prom_forward_check_t        *check;
    ngx_prom_forward_known_t        *known;
    ngx_prom_forward_waiter_t       *waiter;
    ngx_prom_forward_credentials_t  *fc;

    fc = forward->credentials;
    generation = ngx_prom_forward_follow_generation(forward->users);

    rc = ngx_prom_forward_basic(credentials, pool, &basic);

    if (rc != NGX_OK) {
        return rc;
    }

    if (HMAC(EVP_sha256(), fc->key, NGX_PROM_FORWARD_DIGEST, basic.data,
             basic.len, digest, NULL)
        == NULL)
    {
        ngx_ssl_error(NGX_LOG_ALERT, log, 0, "HMAC() failed");
        return NGX_ERROR;
    }

    known = ngx_prom_forward_known_find(fc, digest, generation);

    if (known) {

        if (!known->right) {
            return NGX_DECLINED;
        }

        user->data = ngx_pnalloc(pool, known->user_len);
        if (user->data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(user->data, known->user, known->user_len);
        user->len = known->user_len;

        /* whoever tries wrong ones must not make these be checked again */

        ngx_queue_remove(&known->queue);
        ngx_queue_insert_head(&fc->recent, &known->queue);

        known->until = ngx_current_msec + NGX_PROM_FORWARD_RIGHT;

        return NGX_OK;
    }

    waiter = ngx_palloc(pool, sizeof(ngx_prom_forward_waiter_t));
    if (waiter == NULL) {
        return NGX_ERROR;
    }

    check = ngx_prom_forward_check_find(fc, digest, generation);

    if (check == NULL) {
        rc = ngx_prom_forward_check_start(forward, &basic, digest, log,
                                          &check);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    waiter->user = user;
    waiter->pool = pool;
    waiter->handler = handler;
    waiter->data = data;

    ngx_queue_insert_tail(&check->waiters, &waiter->queue);

    *checking = waiter;

    return NGX_AGAIN;
}


void
ngx_prom_forward_users_cancel(void *checking)
{
    ngx_prom_forward_waiter_t *waiter = checking;

    ngx_queue_remove(&waiter->queue);
}


/* USER:PASSWORD of "Basic BASE64"; NGX_DECLINED: it is no such thing */

static ngx_int_t
ngx_prom_forward_basic(ngx_str_t *credentials, ngx_pool_t *pool,
    ngx_str_t *basic)
{
    ngx_str_t  encoded;

    encoded = *credentials;

    if (encoded.len < sizeof("Basic ") - 1
        || ngx_strncasecmp(encoded.data, (u_char *) "Basic ",
                           sizeof("Basic ") - 1)
           != 0)
    {
        return NGX_DECLINED;
    }

    encoded.data += sizeof("Basic ") - 1;
    encoded.len -= sizeof("Basic ") - 1;

    while (encoded.len && encoded.data[0] == ' ') {
        encoded.data++;
        encoded.len--;
    }

    if (encoded.len == 0 || encoded.len > NGX_PROM_FORWARD_BASIC) {
        return NGX_DECLINED;
    }

    basic->data = ngx_pnalloc(pool, ngx_base64_decoded_length(encoded.len));
    if (basic->data == NULL) {
        return NGX_ERROR;
    }

    if (ngx_decode_base64(basic, &encoded) != NGX_OK
        || ngx_strlchr(basic->data, basic->data + basic->len, ':') == NULL
        || ngx_strlchr(basic->data, basic->data + basic->len, '\0') != NULL)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_prom_forward_known_t *
ngx_prom_forward_known_find(ngx_prom_forward_credentials_t *fc,
    u_char *digest, ngx_uint_t generation)
{
    ngx_str_t                  name;
    ngx_str_node_t            *sn;
    ngx_prom_forward_known_t  *known;

    name.data = digest;
    name.len = NGX_PROM_FORWARD_DIGEST;

    sn = ngx_str_rbtree_lookup(&fc->known, &name,
                               ngx_crc32_short(name.data, name.len));
    if (sn == NULL) {
        return NULL;
    }

    known = ngx_rbtree_data(&sn->node, ngx_prom_forward_known_t, sn.node);

    if (known->generation != generation
        || (ngx_msec_int_t) (known->until - ngx_current_msec) <= 0)
    {
        ngx_prom_forward_known_forget(fc, known);
        return NULL;
    }

    return known;
}


static void
ngx_prom_forward_known_add(ngx_prom_forward_credentials_t *fc,
    ngx_prom_forward_check_t *check)
{
    ngx_queue_t               *q;
    ngx_prom_forward_known_t  *known;

    known = ngx_prom_forward_known_find(fc, check->digest, check->generation);

    if (known) {
        ngx_prom_forward_known_forget(fc, known);
    }

    if (fc->count == NGX_PROM_FORWARD_KNOWN) {
        q = ngx_queue_last(&fc->recent);
        known = ngx_queue_data(q, ngx_prom_forward_known_t, queue);

        ngx_prom_forward_known_forget(fc, known);
    }

    known = ngx_alloc(sizeof(ngx_prom_forward_known_t), ngx_cycle->log);

    if (known == NULL) {
        /* it will be checked again */
        return;
    }

    ngx_memcpy(known->digest, check->digest, NGX_PROM_FORWARD_DIGEST);

    known->sn.str.data = known->digest;
    known->sn.str.len = NGX_PROM_FORWARD_DIGEST;
    known->sn.node.key = ngx_crc32_short(known->digest,
                                         NGX_PROM_FORWARD_DIGEST);

    known->generation = check->generation;
    known->right = check->right;
    known->until = ngx_current_msec + (check->right ? NGX_PROM_FORWARD_RIGHT
                                                    : NGX_PROM_FORWARD_WRONG);

    /* a name that is right is in the file, and no longer than it may be */

    known->user_len = check->right ? check->user.len : 0;
    ngx_memcpy(known->user, check->user.data, known->user_len);

    ngx_rbtree_insert(&fc->known, &known->sn.node);
    ngx_queue_insert_head(&fc->recent, &known->queue);
    fc->count++;
}


static void
ngx_prom_forward_known_forget(ngx_prom_forward_credentials_t *fc,
    ngx_prom_forward_known_t *known)
{
    ngx_rbtree_delete(&fc->known, &known->sn.node);
    ngx_queue_remove(&known->queue);
    fc->count--;

    ngx_free(known);
}


static ngx_prom_forward_check_t *
ngx_prom_forward_check_find(ngx_prom_forward_credentials_t *fc,
    u_char *digest, ngx_uint_t generation)
{
    ngx_queue_t               *q;
    ngx_prom_forward_check_t  *check;

    for (q = ngx_queue_head(&fc->checks);
         q != ngx_queue_sentinel(&fc->checks);
         q = ngx_queue_next(q))
    {
        check = ngx_queue_data(q, ngx_prom_forward_check_t, queue);

        if (check->generation == generation
            && ngx_memcmp(check->digest, digest, NGX_PROM_FORWARD_DIGEST)
               == 0)
        {
            return check;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_prom_forward_check_start(ngx_prom_forward_t *forward, ngx_str_t *basic,
    u_char *digest, ngx_log_t *log, ngx_prom_forward_check_t **checkp)
{
    ngx_pool_t                      *pool;
    ngx_thread_pool_t               *tp;
    ngx_thread_task_t               *task;
    ngx_prom_forward_check_t        *check;
    ngx_prom_forward_credentials_t  *fc;

    fc = forward->credentials;

    if (fc->nchecks == NGX_PROM_FORWARD_CHECKS) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "%d passwords are being checked already",
                      NGX_PROM_FORWARD_CHECKS);
        return NGX_BUSY;
    }

    tp = ngx_thread_pool_get((ngx_cycle_t *) ngx_cycle,
                             &ngx_prom_forward_thread_pool);

    if (tp == NULL) {
        ngx_log_error(NGX_LOG_ALERT, log, 0,
                      "thread pool \"%V\" not found",
                      &ngx_prom_forward_thread_pool);
        return NGX_ERROR;
    }

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    task = ngx_thread_task_alloc(pool, sizeof(ngx_prom_forward_check_t));
    if (task == NULL) {
        goto failed;
    }

    check = task->ctx;

    ngx_memzero(check, sizeof(ngx_prom_forward_check_t));
    ngx_memcpy(check->digest, digest, NGX_PROM_FORWARD_DIGEST);
    ngx_queue_init(&check->waiters);

    check->forward = forward;
    check->pool = pool;
    check->generation = ngx_prom_forward_follow_generation(forward->users);

    if (ngx_prom_forward_check_fill(check, basic) != NGX_OK) {
        goto failed;
    }

    task->handler = ngx_prom_forward_check_thread;
    task->event.handler = ngx_prom_forward_check_done;
    task->event.data = check;

    if (ngx_thread_task_post(tp, task) != NGX_OK) {
        goto failed;
    }

    ngx_queue_insert_tail(&fc->checks, &check->queue);
    fc->nchecks++;

    *checkp = check;

    return NGX_OK;

failed:

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}


/* copies, since the file may be read anew meanwhile */

static ngx_int_t
ngx_prom_forward_check_fill(ngx_prom_forward_check_t *check, ngx_str_t *basic)
{
    u_char                  *colon, *last;
    ngx_str_t                password, hash;
    ngx_prom_users_t        *users;
    const ngx_prom_user_t   *user;

    last = basic->data + basic->len;
    colon = ngx_strlchr(basic->data, last, ':');

    check->user.data = basic->data;
    check->user.len = colon - basic->data;

    password.data = colon + 1;
    password.len = last - password.data;

    users = ngx_prom_forward_follow_current(check->forward->users);

    user = ngx_prom_users_find(users, (char *) check->user.data,
                               check->user.len);

    check->exists = (user != NULL);

    /* one who isn't there takes as long as one who is */

    if (user == NULL && users->count) {
        user = &users->users[0];
    }

    ngx_str_null(&hash);

    if (user) {
        hash.data = (u_char *) user->hash.data;
        hash.len = user->hash.len;
    }

    check->user.data = ngx_pstrdup(check->pool, &check->user);
    check->password = ngx_pcalloc(check->pool, password.len + 1);
    check->hash = ngx_pcalloc(check->pool, hash.len + 1);

    if (check->user.data == NULL || check->password == NULL
        || check->hash == NULL)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(check->password, password.data, password.len);

    if (hash.len) {
        ngx_memcpy(check->hash, hash.data, hash.len);
    }

    return NGX_OK;
}


static void
ngx_prom_forward_check_thread(void *data, ngx_log_t *log)
{
    ngx_prom_forward_check_t *check = data;

    char    *made;
    size_t   len;

    made = crypt_r(check->password, check->hash, &check->crypt);

    len = ngx_strlen(check->hash);

    check->right = (made != NULL
                    && len != 0
                    && ngx_strlen(made) == len
                    && CRYPTO_memcmp(made, check->hash, len) == 0
                    && check->exists);

    OPENSSL_cleanse(check->password, ngx_strlen(check->password));
}


static void
ngx_prom_forward_check_done(ngx_event_t *ev)
{
    ngx_int_t                        rc;
    ngx_queue_t                     *q;
    ngx_prom_forward_check_t        *check;
    ngx_prom_forward_waiter_t       *waiter;
    ngx_prom_forward_credentials_t  *fc;

    check = ev->data;
    fc = check->forward->credentials;

    ngx_queue_remove(&check->queue);
    fc->nchecks--;

    ngx_prom_forward_known_add(fc, check);

    /* any of them may cancel another */

    while (!ngx_queue_empty(&check->waiters)) {
        q = ngx_queue_head(&check->waiters);
        ngx_queue_remove(q);

        waiter = ngx_queue_data(q, ngx_prom_forward_waiter_t, queue);
        rc = NGX_DECLINED;

        if (check->right) {
            waiter->user->data = ngx_pstrdup(waiter->pool, &check->user);
            waiter->user->len = check->user.len;

            rc = waiter->user->data ? NGX_OK : NGX_ERROR;
        }

        waiter->handler(waiter->data, rc);
    }

    OPENSSL_cleanse(&check->crypt, sizeof(struct crypt_data));
    ngx_destroy_pool(check->pool);
}

#endif


static void *
ngx_prom_forward_parse_users(ngx_prom_targets_alloc_pt alloc,
    ngx_prom_targets_error_pt error, void *data, char *text, size_t len,
    uint32_t *errors)
{
    ngx_prom_users_t  *users;

    users = alloc(data, sizeof(ngx_prom_users_t));
    if (users == NULL) {
        return NULL;
    }

    ngx_memzero(users, sizeof(ngx_prom_users_t));

    users->alloc = alloc;
    users->error = error;
    users->data = data;

    if (ngx_prom_users_parse(users, text, len) == -1) {
        return NULL;
    }

    *errors = users->errors;

    return users;
}
