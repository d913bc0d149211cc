/*
 * The cost of a look-up in the registry, by the number of targets: lookup
 *
 * Links the registry and the grammar as they are; what they use of nginx's
 * core stands in for it here: an allocation of the zone is malloc()'s, one of
 * the request's pool is a buffer, the lock is one uncontended atomic.
 *
 * lookup prints "TARGETS MEDIAN FASTEST ONE UNKNOWN" in nanoseconds: look-ups
 * of all names in an order that no cache likes, the median and the fastest
 * round of them; of one name only; of a name that isn't there.
 *
 * lookup TARGETS COUNT does just COUNT look-ups, for callgrind to count their
 * instructions.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_registry.h"


#define LOOKUP_SIZES   6
#define LOOKUP_ROUNDS  61
#define LOOKUP_COUNT   100000
#define LOOKUP_STEP    7919
#define LOOKUP_LINE    64         /* bytes of a line of targets, at most */
#define LOOKUP_ZONE    134217728


typedef enum {
    LOOKUP_NONE = 0,              /* makes the URI only */
    LOOKUP_ALL,
    LOOKUP_ONE,
    LOOKUP_UNKNOWN,
    LOOKUP_KINDS
} lookup_e;


static ngx_prom_registry_t *load(ngx_uint_t targets);
static double round_of(ngx_prom_registry_t *registry, ngx_uint_t targets,
    lookup_e what);
static void look_up(ngx_prom_registry_t *registry, ngx_uint_t targets,
    lookup_e what, ngx_uint_t count);
static void *allocate(void *data, size_t size);
static void complain(void *data, uint32_t line, uint32_t column,
    const char *reason);
static double now(void);
static int compare(const void *one, const void *two);


ngx_uint_t     ngx_pagesize = 4096;

static u_char  request_pool[4096];


int
main(int argc, char **argv)
{
    double                none;
    ngx_uint_t            n, i, what;
    ngx_prom_registry_t  *registry[LOOKUP_SIZES];

    static double      took[LOOKUP_SIZES][LOOKUP_KINDS][LOOKUP_ROUNDS];
    static ngx_uint_t  targets[LOOKUP_SIZES] =
                                  { 10, 100, 1000, 10000, 50000, 100000 };

    if (argc == 3) {
        registry[0] = load(atoi(argv[1]));
        look_up(registry[0], atoi(argv[1]), LOOKUP_ALL, atoi(argv[2]));
        return 0;
    }

    for (n = 0; n < LOOKUP_SIZES; n++) {
        registry[n] = load(targets[n]);
    }

    /* in turns: whatever else the machine does meets all of them */

    for (i = 0; i < LOOKUP_ROUNDS; i++) {
        for (n = 0; n < LOOKUP_SIZES; n++) {
            for (what = 0; what < LOOKUP_KINDS; what++) {
                took[n][what][i] = round_of(registry[n], targets[n], what);
            }
        }
    }

    for (n = 0; n < LOOKUP_SIZES; n++) {
        for (what = 0; what < LOOKUP_KINDS; what++) {
            qsort(took[n][what], LOOKUP_ROUNDS, sizeof(double), compare);
        }

        none = took[n][LOOKUP_NONE][LOOKUP_ROUNDS / 2];

        printf("%u %.1f %.1f %.1f %.1f\n", (unsigned) targets[n],
               took[n][LOOKUP_ALL][LOOKUP_ROUNDS / 2] - none,
               took[n][LOOKUP_ALL][0] - took[n][LOOKUP_NONE][0],
               took[n][LOOKUP_ONE][LOOKUP_ROUNDS / 2] - none,
               took[n][LOOKUP_UNKNOWN][LOOKUP_ROUNDS / 2] - none);
    }

    return 0;
}


static ngx_prom_registry_t *
load(ngx_uint_t targets)
{
    char                 *text, *p;
    size_t                size;
    ngx_uint_t            i;
    ngx_slab_pool_t      *shpool;
    ngx_prom_targets_t    pt;

    text = malloc(targets * LOOKUP_LINE + 1);
    shpool = calloc(1, sizeof(ngx_slab_pool_t));

    if (text == NULL || shpool == NULL) {
        exit(1);
    }

    for (p = text, i = 0; i < targets; i++) {
        p += sprintf(p, "127.0.0.1:%u host-%05u\n",
                     (unsigned) (10000 + i % 50000), (unsigned) i);
    }

    shpool->pfree = LOOKUP_ZONE / ngx_pagesize;

    ngx_memzero(&pt, sizeof(ngx_prom_targets_t));

    pt.alloc = allocate;
    pt.error = complain;

    if (ngx_prom_targets_parse(&pt, text, p - text) != 0
        || ngx_prom_registry_init(shpool, LOOKUP_ZONE) != NGX_OK
        || ngx_prom_registry_prepare(shpool->data, &pt, NULL, &size)
           != NGX_OK)
    {
        fprintf(stderr, "lookup: loading failed\n");
        exit(1);
    }

    ngx_prom_registry_commit(shpool->data);

    free(text);

    return shpool->data;
}


/* nanoseconds for each of the look-ups */

static double
round_of(ngx_prom_registry_t *registry, ngx_uint_t targets, lookup_e what)
{
    double  start;

    start = now();
    look_up(registry, targets, what, LOOKUP_COUNT);

    return (now() - start) / LOOKUP_COUNT;
}


static void
look_up(ngx_prom_registry_t *registry, ngx_uint_t targets, lookup_e what,
    ngx_uint_t count)
{
    ngx_int_t          rc;
    ngx_str_t          uri;
    ngx_uint_t         i, n, number;
    ngx_prom_route_t   route;

    u_char  buf[] = "/host-00000/metrics";

    uri.data = buf;
    uri.len = sizeof(buf) - 1;

    if (what == LOOKUP_UNKNOWN) {
        ngx_memcpy(buf, "/none", 5);
    }

    for (i = 0; i < count; i++) {

        number = (what == LOOKUP_ONE) ? targets / 2
                                      : i * LOOKUP_STEP % targets;

        for (n = 10; n > 5; n--) {
            buf[n] = (u_char) ('0' + number % 10);
            number /= 10;
        }

        if (what == LOOKUP_NONE) {
            __asm__ volatile ("" : : "r" (buf) : "memory");
            continue;
        }

        rc = ngx_prom_registry_find(registry, &uri, &route, NULL);

        if (rc != ((what == LOOKUP_UNKNOWN) ? NGX_DECLINED : NGX_OK)) {
            fprintf(stderr, "lookup: wrong answer\n");
            exit(1);
        }
    }
}


static void *
allocate(void *data, size_t size)
{
    return malloc(size);
}


static void
complain(void *data, uint32_t line, uint32_t column, const char *reason)
{
    fprintf(stderr, "lookup: line %u: %s\n", (unsigned) line, reason);
}


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec * 1e9 + ts.tv_nsec;
}


static int
compare(const void *one, const void *two)
{
    double  a, b;

    a = *(const double *) one;
    b = *(const double *) two;

    return (a > b) - (a < b);
}


/* in place of nginx's core */

void *
ngx_slab_alloc(ngx_slab_pool_t *pool, size_t size)
{
    return calloc(1, size);
}


void
ngx_shmtx_lock(ngx_shmtx_t *mtx)
{
    while (!__sync_bool_compare_and_swap((ngx_atomic_t *) &mtx->spin, 0, 1)) {
        /* void */
    }
}


void
ngx_shmtx_unlock(ngx_shmtx_t *mtx)
{
    (void) __sync_bool_compare_and_swap((ngx_atomic_t *) &mtx->spin, 1, 0);
}


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    return malloc(size);
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    return calloc(1, size);
}


ngx_int_t
ngx_pfree(ngx_pool_t *pool, void *p)
{
    free(p);

    return NGX_OK;
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return (size <= sizeof(request_pool)) ? request_pool : NULL;
}


ngx_int_t
ngx_memn2cmp(u_char *s1, u_char *s2, size_t n1, size_t n2)
{
    int  rc;

    rc = memcmp(s1, s2, ngx_min(n1, n2));

    return rc ? rc : (ngx_int_t) n1 - (ngx_int_t) n2;
}
