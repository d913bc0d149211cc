/*
 * The service account of a machine or pod, by the metadata server.
 */


#include "fetch.h"
#include "wipe.h"


static step_e google_start(fetch_t *f);


const source_t  google_source = { "google", google_start, 0 };


static step_e
google_start(fetch_t *f)
{
    fetch_ask(f, "the metadata server", fetch_bearer, "GET", "http://", NULL);

    wipe_text(&f->url, fetch_setting(f, SETTING_METADATA_HOST));
    wipe_text(&f->url, "/computeMetadata/v1/instance/service-accounts"
              "/default/token");

    fetch_header(f, "Metadata-Flavor", "Google");

    return STEP_ASK;
}
