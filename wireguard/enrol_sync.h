/*
 * What is in effect: a file that the one who sets the interface up writes,
 * with the SHA-256 of the nodes file that it has, in hex.
 */


#ifndef _WIREGUARD_ENROL_SYNC_H_INCLUDED_
#define _WIREGUARD_ENROL_SYNC_H_INCLUDED_


/* looks at it again; the rest is as of this look */

void enrol_sync_read(const char *path);

int enrol_sync_has(const char *version);

/* is it the nodes file of the directory, as that is by now */

int enrol_sync_is_current(const char *dir);


#endif /* _WIREGUARD_ENROL_SYNC_H_INCLUDED_ */
