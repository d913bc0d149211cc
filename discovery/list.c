/*
 * The text is one piece of memory, and a group knows where its own is, as it
 * moves while it grows.
 */


#include <stdlib.h>
#include <string.h>

#include "list.h"


static int list_order(const void *a, const void *b, void *data);


str_t
list_name(const list_t *list, const group_t *group)
{
    return (str_t) { list->text.start + group->name, group->name_len };
}


str_t
list_line(const list_t *list, const group_t *group)
{
    return (str_t) { list->text.start + group->line, group->line_len };
}


int
list_compare(str_t a, str_t b)
{
    int     order;
    size_t  len;

    len = a.len < b.len ? a.len : b.len;
    order = len ? memcmp(a.start, b.start, len) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}


int
list_add(list_t *list, size_t name, size_t line, connected_e connected)
{
    size_t    size;
    group_t  *group;

    if (list->text.failed) {
        return -1;
    }

    if (list->n == list->size) {
        size = list->size ? list->size * 2 : 64;
        group = realloc(list->group, size * sizeof(group_t));

        if (group == NULL) {
            return -1;
        }

        list->group = group;
        list->size = size;
    }

    group = &list->group[list->n++];

    group->name = name;
    group->name_len = (unsigned) (line - name);
    group->line = line;
    group->line_len = (unsigned) (list->text.len - line);
    group->connected = connected;

    return 0;
}


void
list_end(list_t *list)
{
    size_t    i, n;
    group_t  *group;

    if (list->n == 0) {
        return;
    }

    qsort_r(list->group, list->n, sizeof(group_t), list_order, list);

    n = 1;

    for (i = 1; i < list->n; i++) {
        if (list_compare(list_name(list, &list->group[i]),
                         list_name(list, &list->group[n - 1]))
            != 0)
        {
            list->group[n++] = list->group[i];
        }
    }

    group = realloc(list->group, n * sizeof(group_t));

    if (group) {
        list->group = group;
        list->size = n;
    }

    list->n = n;

    buffer_fit(&list->text);
}


static int
list_order(const void *a, const void *b, void *data)
{
    int             order;
    const list_t   *list = data;
    const group_t  *one = a, *other = b;

    order = list_compare(list_name(list, one), list_name(list, other));

    if (order == 0) {
        order = one->name < other->name ? -1 : 1;
    }

    return order;
}


void
list_free(list_t *list)
{
    buffer_free(&list->text);
    free(list->group);

    memset(list, 0, sizeof(*list));
}
