# Monitoring Proxy: nginx with our module in front of targets, sshd for their
# tunnels, s6 above both. scripts/image builds it.

ARG BASE_IMAGE=debian:trixie-slim


# The module and the tool, against the nginx that is packaged for the base.

FROM $BASE_IMAGE AS build

RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        gcc libc6-dev make nginx nginx-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY config ./
COPY scripts/build-module scripts/
COPY ngx_prom_proxy_module ngx_prom_proxy_module
COPY targets/Makefile targets/*.c targets/*.h targets/
COPY landlock/Makefile landlock/*.c landlock/
COPY rootfs /out/rootfs

# modes are those of the clone, which its umask has made

RUN scripts/build-module /out \
    && make -C targets OUT=/out/monitoring-proxy-targets \
    && make -C landlock OUT=/out/landlock-tcp \
    && strip --strip-unneeded /out/*.so /out/monitoring-proxy-targets \
        /out/landlock-tcp \
    && chmod -R u=rwX,go=rX /out


FROM $BASE_IMAGE

# systemd-standalone-sysusers stands in for systemd, which openssh-server would
# bring. Host keys that its installation made would be the same in every
# container. Nobody changes passwords or mounts here: no program keeps its
# setuid or setgid bit.

RUN du -xsm / > /tmp/base \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends \
        nginx openssh-server s6 systemd-standalone-sysusers \
    && useradd --system --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin --password '*' monitoring \
    && useradd --system --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin --password '*' monitoring-keys \
    && mkdir -p /usr/lib/monitoring-proxy /etc/monitoring \
    && dpkg-query -W -f '${Package} ${Version}\n' \
        nginx openssh-server libssl3t64 s6 > /usr/lib/monitoring-proxy/versions \
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

COPY --from=build /out/ngx_http_prom_proxy_module.so /usr/lib/nginx/modules/
COPY --from=build /out/monitoring-proxy-targets /usr/local/bin/
COPY --from=build /out/landlock-tcp /usr/lib/monitoring-proxy/
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
    && du -xsm / | cat - /tmp/base | awk '{ size[NR] = $1 } END { \
        print "size:", size[1], "MB, of the base alone", size[2], "MB" }' \
    && rm /tmp/base

EXPOSE 22 80

# of the scrape side alone: a tunnel that is down is no fault of the proxy's

HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["/usr/lib/monitoring-proxy/healthcheck"]

ENTRYPOINT ["monitoring-proxy"]
CMD ["start"]
