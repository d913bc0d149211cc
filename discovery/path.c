/*
 * Whatever a proxy is called, its file is in the directory, and is one.
 */


#include "path.h"


void
path_escape(buffer_t *b, const char *name)
{
    int            first;
    unsigned char  c;

    for (first = 1; *name; name++, first = 0) {
        c = (unsigned char) *name;

        /* a file isn't hidden by its name */

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9') || c == '_' || c == '-'
            || (c == '.' && !first))
        {
            buffer_add(b, name, 1);

        } else {
            buffer_format(b, "%%%02X", c);
        }
    }
}


void
path_list(buffer_t *b, const output_list_t *list)
{
    if (list->pushprox) {
        buffer_text(b, PATH_PUSHPROX "/");
    }

    path_escape(b, list->name);
    buffer_text(b, PATH_SUFFIX);
}
