/*
 * Runs commands on a zone of poll clients, a line each from stdin, as any
 * number of workers would; see t/03-poll-zone.t.  Prints a line for each.
 *
 *     zone CELLS CLIENTS TIMEOUT       (at first)
 *     limit CLIENTS TIMEOUT
 *     time MS                          (goes on)
 *     join W | leave W | kill W | has W
 *     enter W NAME [ADDRESS [LABELS]] | exit W NAME
 *     hold W NAME | unhold W NAME answered|released|gone
 *     wait W NAME | unwait W NAME
 *     offer W NAME | await W NAME      (the same, or where it is to go)
 *     turn W NAME | closed | late      (of the one that turn was told of)
 *     keeps W NAME                     (polls again by its connection)
 *     find W NAME | findwait W NAME
 *     list | count | version | expire | check
 *     flood W FROM TO                  (clients that poll, and go)
 *     step COMMAND...                  (is killed behind each instruction)
 *
 * "step" runs a command in a child, one instruction at a time: behind each,
 * what it would leave behind if it were killed there must be whole.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include "ngx_prom_poll_table.h"


#define WORKERS  16
#define PLACES   64


typedef struct {
    char                    name[NGX_PROM_POLL_NAME + 1];
    int                     worker;
    ngx_prom_poll_place_t  *place;
} place_t;


ngx_pid_t             ngx_pid;
ngx_uint_t            ngx_pagesize = 4096;
ngx_uint_t            ngx_pagesize_shift = 12;
ngx_int_t             ngx_ncpu = 1;
ngx_uint_t            ngx_process = NGX_PROCESS_WORKER;
volatile ngx_msec_t   ngx_current_msec = 1000;
volatile ngx_time_t  *ngx_cached_time;
volatile ngx_cycle_t *ngx_cycle;

static ngx_time_t            now;
static ngx_log_t             quiet;
static ngx_cycle_t           cycle;
static ngx_slab_pool_t      *shpool;
static ngx_prom_poll_zone_t *zone;
static ngx_uint_t            version;      /* at first */
static size_t                size;
static u_char               *backup;
static ngx_prom_poll_turn_t  turn;

static ngx_prom_poll_at_t    at[WORKERS];
static pid_t                 pids[WORKERS];
static place_t               places[PLACES];


static int run(int argc, char **argv);


static void
die(const char *what)
{
    perror(what);
    exit(1);
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    printf("log: %s\n", fmt);
}


void
ngx_debug_point(void)
{
    abort();
}


static void
make_zone(size_t cells, ngx_uint_t clients, ngx_msec_t timeout)
{
    size_t                  n;
    ngx_prom_poll_limits_t  limits;

    n = sizeof(ngx_prom_poll_zone_t) + (cells + 1) * NGX_PROM_POLL_CELL;
    n = (n + ngx_pagesize - 1) & ~(ngx_pagesize - 1);
    size = n + 16 * ngx_pagesize;

    shpool = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS,
                  -1, 0);
    backup = malloc(size);

    if (shpool == MAP_FAILED || backup == NULL) {
        die("zone");
    }

    shpool->addr = shpool;
    shpool->min_shift = 3;
    shpool->end = (u_char *) shpool + size;

    if (ngx_shmtx_create(&shpool->mutex, &shpool->lock, NULL) != NGX_OK) {
        die("mutex");
    }

    ngx_slab_sizes_init();
    ngx_slab_init(shpool);

    limits.clients = clients;
    limits.timeout = timeout;

    if (ngx_prom_poll_zone_init(shpool, &limits) != NGX_OK) {
        printf("too small\n");
        exit(0);
    }

    zone = shpool->data;
    version = ngx_prom_poll_version(zone);

    if (zone->ncells > cells) {
        zone->ncells = cells;
    }
}


/* what must hold of the zone, whatever happened; returns what doesn't */

static const char *
wrong(void)
{
    u_char                  buf[NGX_PROM_POLL_NAME];
    ngx_str_t               name;
    ngx_uint_t              i, n, idle, places, texts, clients, other[4];
    ngx_queue_t            *q;
    ngx_prom_poll_cell_t   *cell;
    ngx_prom_poll_text_t   *text;
    ngx_prom_poll_entry_t  *client;
    ngx_prom_poll_place_t  *place;

    memset(other, 0, sizeof(other));
    idle = places = texts = clients = 0;

    for (i = 0; i < zone->ncells; i++) {
        cell = &zone->cells[i];

        if (cell->kind > NGX_PROM_POLL_PLACE) {
            return "a cell of no kind";
        }

        if (i >= zone->fresh && cell->kind != NGX_PROM_POLL_FREE) {
            return "a cell in use that was never taken";
        }

        if (i < zone->fresh) {
            other[cell->kind]++;
        }
    }

    n = 0;
    for (text = zone->free; text; text = text->next) {
        if (text->kind != NGX_PROM_POLL_FREE || ++n > zone->fresh) {
            return "free cells that aren't";
        }
    }

    if (n != other[NGX_PROM_POLL_FREE]) {
        return "cells are lost";
    }

    name.len = 0;
    name.data = buf;

    while ((client = ngx_prom_poll_behind(zone, &name)) != NULL) {

        if (client->kind != NGX_PROM_POLL_CLIENT) {
            return "a client that is none";
        }

        if (++clients > zone->count) {
            return "more clients than counted";
        }

        for (text = client->text; text; text = text->next) {
            if (text->kind != NGX_PROM_POLL_TEXT || ++texts > zone->fresh) {
                return "a text that is none";
            }
        }

        name.len = client->text->name_len;
        ngx_prom_poll_text(client->text, 0, buf, name.len);

        if (ngx_prom_poll_lookup(zone, &name) != client) {
            return "a client isn't found";
        }

        for (place = client->places; place; place = place->next) {
            if (place->kind != NGX_PROM_POLL_PLACE || place->client != client
                || ++places > zone->fresh)
            {
                return "a place that is none";
            }
        }

        idle += (client->places == NULL);
    }

    if (clients != zone->count || clients != other[NGX_PROM_POLL_CLIENT]) {
        return "clients are lost";
    }

    if (places != other[NGX_PROM_POLL_PLACE]) {
        return "places are lost";
    }

    if (texts != other[NGX_PROM_POLL_TEXT]) {
        return "texts are lost";
    }

    n = 0;
    for (i = 0; i < 2; i++) {
        ngx_queue_t  *head = i ? &zone->gone : &zone->between;

        for (q = ngx_queue_head(head); q != head; q = ngx_queue_next(q)) {
            client = ngx_queue_data(q, ngx_prom_poll_entry_t, queue);

            if (client->places
                || (client->gone == NGX_PROM_POLL_AWAY) != i
                || ++n > idle)
            {
                return "a queue is wrong";
            }
        }
    }

    return (n == idle) ? NULL : "clients are in no queue";
}


static int
check(void)
{
    const char  *what;

    ngx_prom_poll_lock(zone);
    what = wrong();
    ngx_prom_poll_unlock(zone);

    printf("check %s\n", what ? what : "ok");

    return what ? 1 : 0;
}


/* as the master does, and then whoever comes next */

static const char *
after_kill(pid_t pid)
{
    const char             *what;
    ngx_str_t               name;
    ngx_prom_poll_client_t  client;

    (void) ngx_shmtx_force_unlock(&shpool->mutex, pid);

    ngx_prom_poll_lock(zone);
    what = wrong();
    ngx_prom_poll_unlock(zone);

    name.len = 0;

    while (!what && ngx_prom_poll_next(zone, &name, &client) == NGX_OK) {
        name.data = client.name;
        name.len = client.name_len;
    }

    return what;
}


static int
step(int argc, char **argv)
{
    int          status;
    pid_t        pid;
    ngx_uint_t   steps, told;
    const char  *what;

    fflush(stdout);

    pid = fork();

    if (pid == -1) {
        die("fork");
    }

    if (pid == 0) {
        if (freopen("/dev/null", "w", stdout) == NULL) {
            die("/dev/null");
        }

        ngx_pid = getpid();

        (void) ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        (void) raise(SIGSTOP);
        run(argc, argv);
        _exit(0);
    }

    (void) waitpid(pid, &status, 0);

    steps = 0;
    told = 0;

    while (WIFSTOPPED(status)) {

        /* but for those outside of the lock */

        if (*shpool->mutex.lock == (ngx_atomic_uint_t) pid) {
            memcpy(backup, shpool, size);

            what = after_kill(pid);
            steps++;

            if (what && told++ < 5) {
                printf("step %lu: %s\n", (unsigned long) steps, what);
            }

            memcpy(shpool, backup, size);
        }

        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == -1) {
            die("ptrace");
        }

        (void) waitpid(pid, &status, 0);
    }

    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        printf("step: status %d\n", status);
        return 1;
    }

    printf("step %s\n", told ? "broken" : steps < 20 ? "nothing" : "ok");

    return told ? 1 : 0;
}


static place_t *
place_of(int worker, const char *name)
{
    int  i;

    for (i = 0; i < PLACES; i++) {
        if (places[i].place && places[i].worker == worker
            && strcmp(places[i].name, name) == 0)
        {
            return &places[i];
        }
    }

    fprintf(stderr, "%d has no place of %s\n", worker, name);
    exit(1);
}


static ngx_prom_poll_hello_t
hello_of(int argc, char **argv)
{
    char                   *p;
    ngx_prom_poll_hello_t   hello;

    memset(&hello, 0, sizeof(hello));

    hello.name.data = (u_char *) argv[0];
    hello.name.len = strlen(argv[0]);

    if (argc > 1) {
        hello.address.data = (u_char *) argv[1];
        hello.address.len = strlen(argv[1]);
    }

    if (argc > 2) {
        hello.labels.data = (u_char *) argv[2];
        hello.labels.len = strlen(argv[2]);

        for (p = argv[2]; *p; p++) {
            if (*p == '=' || *p == ',') {
                *p = '\0';
            }
        }
    }

    return hello;
}


static void
enter(int worker, int argc, char **argv)
{
    int                     i;
    ngx_int_t               rc;
    ngx_prom_poll_hello_t   hello;
    ngx_prom_poll_place_t  *place;

    hello = hello_of(argc, argv);
    place = ngx_prom_poll_enter(zone, &at[worker], &hello, &rc);

    if (place == NULL) {
        printf("enter %s\n", rc == NGX_DECLINED ? "declined" : "error");
        return;
    }

    printf("enter ok\n");

    for (i = 0; i < PLACES; i++) {
        if (places[i].place == NULL) {
            strncpy(places[i].name, argv[0], NGX_PROM_POLL_NAME);
            places[i].worker = worker;
            places[i].place = place;
            return;
        }
    }
}


static void
keeps(int worker, ngx_str_t *name)
{
    ngx_int_t               rc;
    ngx_prom_poll_hello_t   hello;
    ngx_prom_poll_place_t  *place;

    memset(&hello, 0, sizeof(hello));

    hello.name = *name;
    hello.kept = 1;

    place = ngx_prom_poll_enter(zone, &at[worker], &hello, &rc);

    if (place) {
        ngx_prom_poll_exit(zone, place);
    }
}


static void
find(ngx_prom_poll_state_e state, ngx_prom_poll_at_t *there)
{
    int                 i;
    static const char  *names[] = { "absent", "between", "here", "there" };

    printf("%s", names[state]);

    for (i = 0; i < WORKERS && state == NGX_PROM_POLL_THERE; i++) {
        if (memcmp(&at[i], there, sizeof(*there)) == 0) {
            printf(" %d", i);
        }
    }

    printf("\n");
}


static void
list(void)
{
    size_t                  i;
    ngx_str_t               after;
    ngx_prom_poll_client_t  client;

    after.len = 0;

    while (ngx_prom_poll_next(zone, &after, &client) == NGX_OK) {

        for (i = 0; i < client.labels_len; i++) {
            if (client.labels[i] == '\0') {
                client.labels[i] = ',';
            }
        }

        printf("%.*s [%.*s] [%.*s] since %lu seen %lu polls %u handed %u%s\n",
               (int) client.name_len, client.name,
               (int) client.address_len, client.address,
               (int) client.labels_len, client.labels,
               (unsigned long) client.since, (unsigned long) client.seen,
               client.polls, client.handed, client.gone ? " gone" : "");

        after.data = client.name;
        after.len = client.name_len;
    }
}


static void
flood(int worker, long from, long to)
{
    long                    i, refused;
    char                    text[64];
    ngx_int_t               rc;
    ngx_prom_poll_hello_t   hello;
    ngx_prom_poll_place_t  *place;

    memset(&hello, 0, sizeof(hello));
    refused = 0;

    for (i = from; i < to; i++) {
        hello.name.data = (u_char *) text;
        hello.name.len = sprintf(text, "flood-%08ld", i);

        place = ngx_prom_poll_enter(zone, &at[worker], &hello, &rc);

        if (place == NULL) {
            refused++;
            continue;
        }

        ngx_prom_poll_hold(zone, place);
        ngx_prom_poll_unhold(zone, place, NGX_PROM_POLL_GONE);
        ngx_prom_poll_exit(zone, place);
    }

    printf("flood %ld refused\n", refused);
}


static void
told_gone(const ngx_prom_poll_at_t *who, void *data)
{
    int  i;

    for (i = 0; i < WORKERS; i++) {
        if (memcmp(&at[i], who, sizeof(*who)) == 0) {
            printf("gone %d\n", i);
        }
    }
}


static void
join(int worker)
{
    ngx_int_t  rc;

    pids[worker] = fork();

    if (pids[worker] == 0) {
        pause();
        _exit(0);
    }

    ngx_pid = pids[worker];
    rc = ngx_prom_poll_zone_join(zone, &at[worker], told_gone, NULL);
    ngx_pid = getpid();

    printf("join %s\n", rc == NGX_OK ? "ok" : "error");
}


static void
end_process(int worker)
{
    int  i;

    (void) kill(pids[worker], SIGKILL);
    (void) waitpid(pids[worker], NULL, 0);

    for (i = 0; i < PLACES; i++) {
        if (places[i].worker == worker) {
            places[i].place = NULL;
        }
    }
}


static int
run(int argc, char **argv)
{
    int                      worker;
    place_t                 *p;
    const char              *name, *word;
    ngx_str_t                str;
    ngx_prom_poll_at_t       there;
    ngx_prom_poll_limits_t   limits;

    word = argv[0];
    worker = argc > 1 ? atoi(argv[1]) % WORKERS : 0;
    name = argc > 2 ? argv[2] : "";

    str.data = (u_char *) name;
    str.len = strlen(name);

    memset(&there, 0, sizeof(there));

    if (strcmp(word, "limit") == 0) {
        limits.clients = atol(argv[1]);
        limits.timeout = atol(argv[2]);
        ngx_prom_poll_zone_limit(zone, &limits);

    } else if (strcmp(word, "time") == 0) {
        ngx_current_msec += atol(argv[1]);
        now.sec = ngx_current_msec / 1000;
        now.msec = ngx_current_msec % 1000;

    } else if (strcmp(word, "join") == 0) {
        join(worker);

    } else if (strcmp(word, "leave") == 0) {
        ngx_prom_poll_zone_leave(zone, &at[worker]);
        end_process(worker);

    } else if (strcmp(word, "kill") == 0) {
        end_process(worker);

    } else if (strcmp(word, "has") == 0) {
        printf("has %d\n", (int) ngx_prom_poll_zone_has(zone, &at[worker]));

    } else if (strcmp(word, "enter") == 0) {
        enter(worker, argc - 2, argv + 2);

    } else if (strcmp(word, "find") == 0) {
        find(ngx_prom_poll_find(zone, &str, &at[worker], &there), &there);

    } else if (strcmp(word, "findwait") == 0) {
        find(ngx_prom_poll_find_wait(zone, &str, &at[worker], &there),
             &there);

    } else if (strcmp(word, "keeps") == 0) {
        keeps(worker, &str);

    } else if (strcmp(word, "turn") == 0) {
        ngx_prom_poll_turn(zone, &str, &turn);

    } else if (strcmp(word, "closed") == 0) {
        ngx_prom_poll_closed(zone, &turn);

    } else if (strcmp(word, "late") == 0) {
        ngx_prom_poll_late(zone, &turn);

    } else if (strcmp(word, "list") == 0) {
        list();

    } else if (strcmp(word, "count") == 0) {
        printf("count %lu\n", (unsigned long) ngx_prom_poll_count(zone));

    } else if (strcmp(word, "version") == 0) {
        printf("version %lu\n",
               (unsigned long) (ngx_prom_poll_version(zone) - version));

    } else if (strcmp(word, "expire") == 0) {
        ngx_prom_poll_expire(zone);

    } else if (strcmp(word, "check") == 0) {
        return check();

    } else if (strcmp(word, "flood") == 0) {
        flood(worker, atol(argv[2]), atol(argv[3]));

    } else if (strcmp(word, "step") == 0) {
        return step(argc - 1, argv + 1);

    } else {
        p = place_of(worker, name);

        if (strcmp(word, "exit") == 0) {
            ngx_prom_poll_exit(zone, p->place);
            p->place = NULL;

        } else if (strcmp(word, "hold") == 0) {
            ngx_prom_poll_hold(zone, p->place);

        } else if (strcmp(word, "unhold") == 0) {
            ngx_prom_poll_unhold(zone, p->place,
                                 argv[3][0] == 'a' ? NGX_PROM_POLL_ANSWERED
                                 : argv[3][0] == 'r' ? NGX_PROM_POLL_RELEASED
                                 : NGX_PROM_POLL_GONE);

        } else if (strcmp(word, "wait") == 0) {
            ngx_prom_poll_wait(zone, p->place);

        } else if (strcmp(word, "unwait") == 0) {
            ngx_prom_poll_unwait(zone, p->place);

        } else if (strcmp(word, "offer") == 0) {
            find(ngx_prom_poll_offer(zone, p->place, &there) == NGX_OK
                 ? NGX_PROM_POLL_HERE : NGX_PROM_POLL_THERE, &there);

        } else if (strcmp(word, "await") == 0) {
            find(ngx_prom_poll_await(zone, p->place, &there) == NGX_OK
                 ? NGX_PROM_POLL_HERE : NGX_PROM_POLL_THERE, &there);

        } else {
            fprintf(stderr, "what is %s?\n", word);
            return 1;
        }
    }

    return 0;
}


int
main(void)
{
    int     argc, i, status;
    char   *argv[8], line[8192];

    ngx_pid = getpid();
    cycle.log = &quiet;
    ngx_cycle = &cycle;
    ngx_cached_time = &now;
    now.sec = 1;
    status = 0;

    while (fgets(line, sizeof(line), stdin)) {
        argc = 0;

        for (argv[0] = strtok(line, " \n"); argv[argc] && argc < 7;
             argv[argc] = strtok(NULL, " \n"))
        {
            argc++;
        }

        if (argc == 0) {
            continue;
        }

        if (strcmp(argv[0], "zone") == 0) {
            make_zone(atol(argv[1]), atol(argv[2]), atol(argv[3]));
            continue;
        }

        status |= run(argc, argv);
    }

    for (i = 0; i < WORKERS; i++) {
        if (pids[i] > 0) {
            (void) kill(pids[i], SIGKILL);
        }
    }

    return status;
}
