{{/*
What the schema can't say in words: values that don't go together, each with
what to do. Included once, by the StatefulSet.
*/}}
{{- define "proxy.checks" -}}
{{- $v := .Values -}}

{{- if not $v.hostKeysSecret -}}
{{- fail "hostKeysSecret: is not set; without it each replica makes host keys of its own, and hosts refuse to connect to another one. Make them once: ssh-keygen -q -t ed25519 -N '' -C monitoring-proxy -f ssh_host_ed25519_key && kubectl create secret generic proxy-host-keys --from-file=ssh_host_ed25519_key; then --set hostKeysSecret=proxy-host-keys" -}}
{{- end -}}

{{- if and $v.hosts.configMap (or $v.hosts.text $v.hosts.authorities) -}}
{{- fail "hosts.configMap: is set, and hosts.text or hosts.authorities is, too; the ConfigMap has them as its keys \"hosts\" and \"ssh_ca.pub\"" -}}
{{- end -}}
{{- if and $v.targets.configMap $v.targets.text -}}
{{- fail "targets.configMap: is set, and targets.text is, too; one of them is allowed" -}}
{{- end -}}
{{- if and $v.sharedKeys.configMap $v.sharedKeys.text -}}
{{- fail "sharedKeys.configMap: is set, and sharedKeys.text is, too; one of them is allowed" -}}
{{- end -}}
{{- if and $v.sharedKeys.ports (not (include "proxy.sharedKeys" .)) -}}
{{- fail "sharedKeys.ports: is set, but no key is shared: set sharedKeys.text or sharedKeys.configMap" -}}
{{- end -}}

{{- if not $v.poll.enabled -}}
{{- range $name := list "tokensSecret" "passwordsSecret" "tlsSecret" "clientCASecret" -}}
{{- if index $v.poll $name -}}
{{- fail (printf "poll.%s: is set, but poll.enabled is false" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.poll.clientCASecret (not $v.poll.tlsSecret) -}}
{{- fail "poll.clientCASecret: needs TLS; set poll.tlsSecret" -}}
{{- end -}}
{{- if and $v.poll.passwordsSecret (eq $v.poll.scrapers "none") -}}
{{- fail "poll.passwordsSecret: is set, but poll.scrapers is \"none\"; give their addresses, or \"\" for any" -}}
{{- end -}}

{{- if not $v.forward.enabled -}}
{{- range $name := list "allow" "http" "from" "tlsSecret" "caSecret" "usersSecret" "clientCASecret" "checkmeKeySecret" -}}
{{- if index $v.forward $name -}}
{{- fail (printf "forward.%s: is set, but forward.enabled is false" $name) -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- if not $v.forward.allow -}}
{{- fail "forward.allow: is not set; give rules of what may be reached, such as 10.20.0.0/16:9100, one a line" -}}
{{- end -}}
{{- if not $v.forward.tlsSecret -}}
{{- fail "forward.tlsSecret: is not set; without it each replica makes a certificate of its own at each start. Make a Secret with tls.crt and tls.key for the name that Prometheus has in proxy_url" -}}
{{- end -}}
{{- if and $v.forward.caSecret (not $v.forward.verify) -}}
{{- fail "forward.caSecret: is set, but forward.verify is false; one of them is allowed" -}}
{{- end -}}
{{- if and $v.forward.verify (not $v.forward.caSecret) (ne $v.forward.scheme "http") -}}
{{- fail "forward.caSecret: is not set; give a Secret with ca.crt, the certificates that sign those of exporters, or forward.verify=false to verify none" -}}
{{- end -}}
{{- if and (eq $v.forward.scheme "auto") (not $v.forward.http) -}}
{{- fail "forward.http: is not set, but forward.scheme is \"auto\"; give rules of what is asked by http, such as *:9104" -}}
{{- end -}}
{{- if and $v.forward.http (ne $v.forward.scheme "auto") -}}
{{- fail "forward.http: is set, but forward.scheme is not \"auto\"" -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled (not $v.networkPolicy.egress) -}}
{{- fail "networkPolicy.egress: has no rule, so that the forward proxy reaches nothing; give it what forward.allow has" -}}
{{- end -}}
{{- end -}}

{{- if and $v.scrapeConfig.enabled (not $v.discovery.enabled) -}}
{{- fail "scrapeConfig.enabled: needs discovery.enabled, whose URL it has" -}}
{{- end -}}
{{- end -}}
