/*
 * HTTP_PROXY, HTTPS_PROXY and NO_PROXY, with the meaning that they have to
 * PushProx's client.
 */


#ifndef _CLIENT_ENVIRONMENT_H_INCLUDED_
#define _CLIENT_ENVIRONMENT_H_INCLUDED_


/*
 * The proxy by which a URL is to be reached, or NULL if there is none.  What
 * is on this host itself has none.
 */

const char *environment_proxy(const char *url);


#endif /* _CLIENT_ENVIRONMENT_H_INCLUDED_ */
