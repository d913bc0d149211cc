/*
 * Clients as this worker has them: those of which it holds a poll, or a scrape
 * that waits for one.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"


static ngx_http_prom_poll_client_t *ngx_http_prom_poll_client_add(
    ngx_http_prom_poll_worker_t *worker, ngx_str_t *name, uint32_t hash,
    ngx_prom_poll_place_t *place);


ngx_http_prom_poll_client_t *
ngx_http_prom_poll_client(ngx_str_t *name, const ngx_prom_poll_hello_t *hello,
    ngx_int_t *rc)
{
    uint32_t                      hash;
    ngx_prom_poll_place_t        *place;
    ngx_http_prom_poll_client_t  *client;
    ngx_http_prom_poll_worker_t  *worker;

    worker = ngx_http_prom_poll_worker();

    hash = ngx_crc32_short(name->data, name->len);

    client = (ngx_http_prom_poll_client_t *)
                 ngx_str_rbtree_lookup(&worker->clients, name, hash);

    if (hello == NULL) {
        return client;
    }

    place = ngx_prom_poll_enter(worker->zone, &worker->at, hello, rc);

    if (client) {
        /* it has its place */

        if (place) {
            ngx_prom_poll_exit(worker->zone, place);
        }

        return client;
    }

    if (place == NULL) {
        return NULL;
    }

    client = ngx_http_prom_poll_client_add(worker, name, hash, place);

    if (client == NULL) {
        ngx_prom_poll_exit(worker->zone, place);
        *rc = NGX_ERROR;
    }

    return client;
}


static ngx_http_prom_poll_client_t *
ngx_http_prom_poll_client_add(ngx_http_prom_poll_worker_t *worker,
    ngx_str_t *name, uint32_t hash, ngx_prom_poll_place_t *place)
{
    ngx_http_prom_poll_client_t  *client;

    client = ngx_alloc(sizeof(ngx_http_prom_poll_client_t) + name->len,
                       ngx_cycle->log);
    if (client == NULL) {
        return NULL;
    }

    client->sn.node.key = hash;
    client->sn.str.len = name->len;
    client->sn.str.data = (u_char *) client
                          + sizeof(ngx_http_prom_poll_client_t);
    ngx_memcpy(client->sn.str.data, name->data, name->len);

    ngx_queue_init(&client->polls);
    ngx_queue_init(&client->waits);

    client->npolls = 0;
    client->place = place;

    ngx_rbtree_insert(&worker->clients, &client->sn.node);

    return client;
}


void
ngx_http_prom_poll_client_done(ngx_http_prom_poll_client_t *client)
{
    ngx_http_prom_poll_worker_t  *worker;

    if (client->npolls || !ngx_queue_empty(&client->waits)) {
        return;
    }

    worker = ngx_http_prom_poll_worker();

    ngx_rbtree_delete(&worker->clients, &client->sn.node);
    ngx_prom_poll_exit(worker->zone, client->place);

    ngx_free(client);
}
