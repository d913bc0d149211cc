# Monitoring Proxy: nginx with our module in front of targets, sshd for their
# tunnels, s6 above both. scripts/image builds it.

ARG BASE_IMAGE=debian:trixie-slim


# What builds the module, against the nginx that is packaged for the base, the
# programs and the client.

FROM $BASE_IMAGE AS tools

RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates dpkg-dev gcc libc6-dev libjansson-dev libpam0g-dev \
        libssl-dev make nginx nginx-dev pkgconf \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src


# A small static one for the programs that ask by HTTP: the shared one and what
# it needs would be 17 packages and 12 MB, and most of the client's memory.

FROM tools AS libcurl

COPY scripts/build-libcurl scripts/
RUN scripts/build-libcurl /opt/libcurl


FROM libcurl AS build

COPY config ./
COPY scripts/build-module scripts/join scripts/
COPY ngx_prom_proxy_module ngx_prom_proxy_module
COPY targets/Makefile targets/*.c targets/*.h targets/
COPY checkme/Makefile checkme/*.c checkme/
COPY landlock/Makefile landlock/*.c landlock/*.h landlock/
COPY hosts/Makefile hosts/*.c hosts/*.h hosts/
COPY sessions/Makefile sessions/*.c sessions/*.h sessions/
COPY common/*.c common/*.h common/
COPY token/Makefile token/*.c token/*.h token/
COPY wireguard/Makefile wireguard/*.c wireguard/*.h wireguard/
COPY join join
COPY deploy/systemd deploy/systemd
COPY rootfs /out/rootfs

# modes are those of the clone, which its umask has made

RUN scripts/build-module /out \
    && mkdir /out/bin /out/lib \
    && make -C targets OUT=/out/bin/monitoring-proxy-targets \
    && make -C hosts OUT=/out/bin/monitoring-proxy-hosts \
    && make -C checkme OUT=/out/bin/monitoring-proxy-checkme \
    && make -C landlock OUT=/out/lib/landlock-tcp \
    && make -C sessions OUT=/out/lib \
    && make -C token CURL=/opt/libcurl OUT=/out/bin \
    && make -C wireguard STATIC=yes OUT=/out/bin \
    && strip --strip-unneeded /out/*.so /out/bin/* /out/lib/* \
    && share=/out/rootfs/usr/share/monitoring-proxy \
    && mkdir -p $share \
    && scripts/join > $share/monitoring-proxy-join \
    && chmod +x $share/monitoring-proxy-join \
    && chmod -R u=rwX,go=rX /out


FROM $BASE_IMAGE AS proxy

# systemd-standalone-sysusers stands in for systemd, which openssh-server would
# bring. Host keys that its installation made would be the same in every
# container. openssl makes certificates; ca-certificates are those that a
# remote's is verified by. iproute2, which nginx brings, sets wg0's addresses.
# Nobody changes passwords or mounts here: no program keeps its setuid or setgid
# bit.

RUN du -xsm / > /tmp/base \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends \
        ca-certificates iproute2 libnginx-mod-stream nftables nginx \
        openssh-server openssl s6 systemd-standalone-sysusers wireguard-go \
        wireguard-tools \
    && useradd --system --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin --password '*' monitoring \
    && useradd --system --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin --password '*' monitoring-keys \
    && mkdir -p /usr/lib/monitoring-proxy /etc/monitoring \
    && dpkg-query -W -f '${Package} ${Version}\n' \
        nginx openssh-server libssl3t64 s6 wireguard-go wireguard-tools \
        > /usr/lib/monitoring-proxy/versions \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && cd /etc/nginx \
    && rm -rf /etc/ssh/ssh_host_* /etc/ssh/sshd_config* modules-* sites-* \
        snippets conf.d/* nginx.conf fastcgi* scgi* uwsgi* koi-* win-utf \
        proxy_params /var/www/html /usr/share/nginx/html \
        /usr/share/man/* /usr/share/info/* /usr/share/lintian/* \
        /usr/share/locale/* /var/lib/apt/lists/* /var/cache/* /var/log/* \
        /run/* \
    && find /usr/share/doc -type f ! -name copyright -delete \
    && find /usr/share/doc -type d -empty -delete

COPY --from=build /out/ngx_http_prom_proxy_module.so \
    /out/ngx_stream_prom_forward_module.so /usr/lib/nginx/modules/
COPY --from=build /out/bin/ /usr/local/bin/
COPY --from=build /out/lib/ /usr/lib/monitoring-proxy/
COPY --from=build /out/rootfs/ /

ARG VERSION=unknown
ARG REVISION=
ARG CREATED=
ARG SOURCE=
ARG BASE_IMAGE

LABEL org.opencontainers.image.title="Monitoring Proxy" \
    org.opencontainers.image.description="Scrapes hosts behind NAT through ssh tunnels: nginx, OpenSSH and s6 in one container" \
    org.opencontainers.image.source="$SOURCE" \
    org.opencontainers.image.licenses="BSD-2-Clause" \
    org.opencontainers.image.base.name="$BASE_IMAGE" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.created="$CREATED"

RUN sed -i "1i monitoring-proxy $VERSION" /usr/lib/monitoring-proxy/versions \
    && ln -s ../../usr/lib/monitoring-proxy/sshd_config /etc/ssh/sshd_config \
    && chmod 1777 /run \
    && du -xsm / | cat - /tmp/base | awk '{ size[NR] = $1 } END { \
        print "size:", size[1], "MB, of the base alone", size[2], "MB" }' \
    && rm /tmp/base

# 8080 is the poll transport's, where MONITORING_PROXY_POLL is on; 4445 the
# forward proxy's, where MONITORING_PROXY_FORWARD_ALLOW or _ALLOW_FILE is set;
# 9090 the query proxy's, where there is a remote; 51820 WireGuard's and 4443 that
# of its enrolment, where MONITORING_PROXY_WIREGUARD is on

EXPOSE 22 80 4443 4445 8080 9090 51820/udp

# of the scrape side alone: a tunnel that is down is no fault of the proxy's

HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["/usr/lib/monitoring-proxy/healthcheck"]

ENTRYPOINT ["monitoring-proxy"]
CMD ["start"]


# The poll client: docker build --target client. It is one static program that
# knows HTTP and HTTPS.

FROM libcurl AS client-build

COPY common/*.c common/*.h common/
COPY client/Makefile client/*.c client/*.h client/
RUN mkdir -p /out/usr/bin /out/etc/ssl /out/usr/share/doc \
    && make -C client CURL=/opt/libcurl STATIC=yes OUT=/out/usr/bin \
    && strip --strip-unneeded /out/usr/bin/* \
    && cp -rL /etc/ssl/certs /out/etc/ssl/ \
    && echo 'hosts: files dns' > /out/etc/nsswitch.conf \
    && chmod -R u=rwX,go=rX /out


FROM scratch AS client

COPY --from=client-build /out/ /

ARG VERSION=unknown
ARG REVISION=
ARG CREATED=
ARG SOURCE=

LABEL org.opencontainers.image.title="Monitoring Proxy client" \
    org.opencontainers.image.description="Polls a Monitoring Proxy for the scrapes of this host's exporters" \
    org.opencontainers.image.source="$SOURCE" \
    org.opencontainers.image.licenses="BSD-2-Clause" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.created="$CREATED"

EXPOSE 9369

USER 65534:65534

ENTRYPOINT ["/usr/bin/monitoring-proxy-client"]


# The discovery: docker build --target discovery. It is one static program, and
# promtool, which checks what is written for Prometheus and needs the C library.

FROM libcurl AS discovery-build

RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        libc-ares-dev libyaml-dev promtool \
    && rm -rf /var/lib/apt/lists/*

COPY common/*.c common/*.h common/
COPY targets/text.c targets/text.h targets/
COPY discovery/Makefile discovery/*.c discovery/*.h discovery/
RUN bin=/out/usr/local/bin doc=/out/usr/share/doc/promtool \
    && mkdir -p $bin $doc /out/etc/ssl /empty \
    && make -C discovery CURL=/opt/libcurl STATIC=yes OUT=$bin \
    && strip --strip-unneeded $bin/* \
    && cp /usr/bin/promtool $bin/ \
    && cp /usr/share/doc/promtool/copyright $doc/ \
    && ldd /usr/bin/promtool | grep -o '/[^ ]*' \
        | xargs -I LIB cp -L --parents LIB /out/ \
    && cp -rL /etc/ssl/certs /out/etc/ssl/ \
    && echo 'hosts: files dns' > /out/etc/nsswitch.conf \
    && chmod -R u=rwX,go=rX /out


FROM scratch AS discovery

COPY --from=discovery-build /out/ /

# a fresh volume there is as writable

COPY --from=discovery-build --chown=65534:65534 /empty /etc/prometheus

ARG VERSION=unknown
ARG REVISION=
ARG CREATED=
ARG SOURCE=

LABEL org.opencontainers.image.title="Monitoring Proxy discovery" \
    org.opencontainers.image.description="Finds Monitoring Proxies and gives Prometheus the targets that they hold" \
    org.opencontainers.image.source="$SOURCE" \
    org.opencontainers.image.licenses="BSD-2-Clause" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.created="$CREATED"

ENV PATH=/usr/local/bin

EXPOSE 9370

USER 65534:65534

ENTRYPOINT ["monitoring-proxy-discovery"]


# what is built where no target is named

FROM proxy
