/*
 * What the files of the query proxy share: remotes and their credentials,
 * which a keeper of its own fetches, and what becomes of a request.
 */


#ifndef _NGX_HTTP_PROM_TOKEN_H_INCLUDED_
#define _NGX_HTTP_PROM_TOKEN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"
#include "ngx_http_prom_verify.h"
#include "ngx_http_prom_token_count.h"
#include "ngx_prom_sigv4.h"
#include "ngx_prom_token_api.h"
#include "ngx_prom_token_line.h"


/* between two fetches that are forced: the keeper does nothing then */

#define NGX_HTTP_PROM_TOKEN_FORCED   10000

/* bytes of the line that says why there is no credential */

#define NGX_HTTP_PROM_TOKEN_REASON   512

/* "prom_token_api off" */

#define NGX_HTTP_PROM_TOKEN_API_OFF  0x80


typedef struct ngx_http_prom_token_keeper_s  ngx_http_prom_token_keeper_t;


/*
 * A credential, in a pool of its own.  It lives as long as it is its remote's
 * or some request has it, and is wiped at its end.
 */

typedef struct {
    ngx_pool_t                  *pool;
    ngx_uint_t                   refs;
    size_t                       size;       /* of this, and the texts */

    ngx_prom_token_kind_e        kind;       /* VALUE, AWS, or PLAIN */
    uint64_t                     version;
    ngx_msec_t                   expires;    /* by ngx_current_msec */
    ngx_uint_t                   endless;

    ngx_str_t                    value;      /* of Authorization */
    ngx_str_t                    region;     /* these are AWS' */
    ngx_str_t                    access_key;
    ngx_str_t                    secret_key;
    ngx_str_t                    session;    /* empty: there is none */

    u_char                       day[NGX_PROM_SIGV4_DAY];    /* of key */
    u_char                       key[NGX_PROM_SIGV4_KEY];    /* derived */
} ngx_http_prom_credential_t;


/* what this process knows of a NAME */

typedef struct {
    ngx_str_t                    name;

    ngx_http_prom_credential_t  *credential; /* or NULL */
    ngx_queue_t                  waiting;    /* requests, by their contexts */

    ngx_msec_t                   since;      /* the first failure, if failed */
    ngx_msec_t                   asked;      /* for a newer one, if asking */
    uint64_t                     refused;    /* the version, then */

    unsigned                     nothing:1;  /* as the keeper says */
    unsigned                     failed:1;
    unsigned                     asking:1;
    unsigned                     expired:1;  /* there was one */

    ngx_str_t                    reason;     /* of "nothing" */
    u_char                       text[NGX_PROM_TOKEN_REASON_MAX];

    uint64_t                     counts[NGX_PROM_TOKEN_COUNTS];
    ngx_http_prom_token_counters_t  *counters;   /* or NULL */
} ngx_http_prom_token_t;


/* "prom_token_remote" */

typedef struct {
    ngx_prom_route_t             route;      /* a request's is made of */
    ngx_addr_t                  *addrs;      /* NULL: to be resolved */
    ngx_uint_t                   naddrs;
    ngx_http_prom_verify_t       verify;
    ngx_str_t                    host;       /* as in the header Host */
    ngx_str_t                    prefix;     /* of our path, taken off it */
} ngx_http_prom_token_remote_t;


typedef struct {
    ngx_str_t                    file;       /* empty: the system's */
    void                        *store;
} ngx_http_prom_token_store_t;


typedef struct {
    ngx_http_prom_token_keeper_t    *keeper; /* or NULL */
    ngx_array_t                  tokens;     /* of ngx_http_prom_token_t * */
    ngx_array_t                  stores;     /* of ..._token_store_t */
} ngx_http_prom_token_main_conf_t;


typedef struct {
    ngx_http_prom_token_t       *token;      /* or NULL */
    ngx_http_prom_token_remote_t    *remote; /* or NULL */
    ngx_uint_t                   api;
    ngx_msec_t                   wait;
    size_t                       body;
} ngx_http_prom_token_loc_conf_t;


typedef struct {
    ngx_http_request_t          *request;
    ngx_http_prom_token_t       *token;
    ngx_http_prom_credential_t  *credential; /* once there is one */
    ngx_http_prom_proxy_ctx_t   *proxy;      /* the route, or NULL */

    ngx_str_t                    uri;        /* what is sent to the remote */
    ngx_str_t                    authorization;     /* these are set by */
    ngx_str_t                    date;              /* signing */
    ngx_str_t                    session;

    ngx_queue_t                  queue;      /* of the token's waiting */
    ngx_event_t                  event;      /* its end */
    ngx_msec_t                   deadline;   /* if begun */
    uint64_t                     refused;    /* version, if again */

    unsigned                     begun:1;    /* waiting; by now it may have
                                                ended */
    unsigned                     queued:1;
    unsigned                     heard:1;    /* there was news */
    unsigned                     late:1;
    unsigned                     held:1;     /* the body, if there is any */
    unsigned                     streamed:1; /* can't be sent twice */
    unsigned                     again:1;    /* the second try */
    unsigned                     asked:1;    /* for a newer one */
    unsigned                     sent:1;     /* handed to the upstream */
} ngx_http_prom_token_ctx_t;


/* the context, also behind an internal redirect; NULL if there is none */

ngx_http_prom_token_ctx_t *ngx_http_prom_token_ctx(ngx_http_request_t *r);

/* ngx_http_prom_token_conf.c: setters of the directives */

char *ngx_http_prom_token_keeper(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_prom_token(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_prom_token_remote(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* ngx_http_prom_token_keeper.c: this process' connection to the keeper */

ngx_http_prom_token_keeper_t *ngx_http_prom_token_keeper_create(
    ngx_conf_t *cf, ngx_addr_t *addr, ngx_http_prom_token_main_conf_t *tmcf);
void ngx_http_prom_token_keeper_start(ngx_http_prom_token_keeper_t *keeper);
void ngx_http_prom_token_keeper_stop(ngx_http_prom_token_keeper_t *keeper);

/* true if it is there; *since is when it was lost, or never was there */

ngx_uint_t ngx_http_prom_token_keeper_connected(
    ngx_http_prom_token_keeper_t *keeper, ngx_msec_t *since);

/* asks for a newer one than version; NGX_DECLINED: nobody is there to ask */

ngx_int_t ngx_http_prom_token_keeper_fresh(
    ngx_http_prom_token_keeper_t *keeper, ngx_http_prom_token_t *token,
    uint64_t version);

/* ngx_http_prom_token_credential.c: what a line says is the token's now */

ngx_int_t ngx_http_prom_token_take(ngx_http_prom_token_t *token,
    const ngx_prom_token_line_t *line, ngx_log_t *log);

/* that of a token, unless it has expired, or NULL */

ngx_http_prom_credential_t *ngx_http_prom_token_valid(
    ngx_http_prom_token_t *token);

void ngx_http_prom_token_release(ngx_http_prom_credential_t *credential);

/*
 * ngx_http_prom_token_wait.c: gets a credential for the request.  NGX_OK;
 * NGX_AGAIN: the phases will be run again; NGX_DECLINED: there is none.
 */

ngx_int_t ngx_http_prom_token_wait(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx);

/* leaves the queue */

void ngx_http_prom_token_leave(ngx_http_prom_token_ctx_t *ctx);

/* something was heard of the token: all who wait look at it again */

void ngx_http_prom_token_wake(ngx_http_prom_token_t *token);

/* true if it makes sense to wait for a newer one than version */

ngx_uint_t ngx_http_prom_token_hope(ngx_http_request_t *r,
    ngx_http_prom_token_t *token, uint64_t version);

/* writes why there is no credential */

u_char *ngx_http_prom_token_reason(u_char *p, u_char *last,
    ngx_http_prom_token_main_conf_t *tmcf, ngx_http_prom_token_t *token);

/*
 * ngx_http_prom_token_body.c: holds the request's body, if it is to be signed
 * or small enough to be sent again.  NGX_OK; NGX_DONE: the phases are run
 * again by then; or a status of HTTP.
 */

ngx_int_t ngx_http_prom_token_body(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx);

/*
 * ngx_http_prom_token_sign.c: signs the request, whose body is held, into
 * ctx->authorization, ctx->date and ctx->session.
 */

ngx_int_t ngx_http_prom_token_sign(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx);

/*
 * ngx_http_prom_token_remote.c: judges the request; NGX_OK, or a status with
 * the line that says why.  Makes ctx->uri, and the route.
 */

ngx_int_t ngx_http_prom_token_check(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx, ngx_str_t *line);
ngx_int_t ngx_http_prom_token_uri(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx);
ngx_int_t ngx_http_prom_token_route(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx);

/* ngx_http_prom_token_again.c: the filter that sees a 401 */

void ngx_http_prom_token_filter_init(void);

/*
 * ngx_http_prom_token_answer.c: answers as Prometheus' API does.  What it
 * returns is a content handler's, or for ngx_http_finalize_request().
 */

ngx_int_t ngx_http_prom_token_answer(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *line);

/* content handlers of "prom_token_error" and "prom_token_ready" */

ngx_int_t ngx_http_prom_token_error_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_prom_token_ready_handler(ngx_http_request_t *r);

/* ngx_http_prom_token_variables.c */

ngx_int_t ngx_http_prom_token_add_variables(ngx_conf_t *cf);


extern ngx_module_t  ngx_http_prom_token_module;


#endif /* _NGX_HTTP_PROM_TOKEN_H_INCLUDED_ */
