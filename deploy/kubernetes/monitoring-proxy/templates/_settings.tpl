{{/*
What the values mean to the image: its variables, and the files that they name,
all in /etc/monitoring.
*/}}
{{- define "proxy.environment" -}}
{{- $env := dict -}}
{{- $etc := "/etc/monitoring" -}}

{{- if include "proxy.sharedKeys" . -}}
{{- $_ := set $env "PUBLIC_KEY_FILE" (printf "%s/public-keys" $etc) -}}
{{- with .Values.sharedKeys.ports -}}
{{- $_ := set $env "TUNNEL_PORTS" . -}}
{{- end -}}
{{- end -}}

{{- with .Values.poll -}}
{{- if .enabled -}}
{{- $_ := set $env "POLL" "on" -}}
{{- $_ := set $env "POLL_SCRAPERS" .scrapers -}}
{{- if .tokensSecret -}}
{{- $_ := set $env "POLL_TOKENS" (printf "%s/tokens" $etc) -}}
{{- end -}}
{{- if .passwordsSecret -}}
{{- $_ := set $env "POLL_PASSWORDS" (printf "%s/passwords" $etc) -}}
{{- end -}}
{{- if .tlsSecret -}}
{{- $_ := set $env "POLL_CERTIFICATE" (printf "%s/poll.crt" $etc) -}}
{{- $_ := set $env "POLL_KEY" (printf "%s/poll.key" $etc) -}}
{{- end -}}
{{- if .clientCASecret -}}
{{- $_ := set $env "POLL_CLIENT_CA" (printf "%s/poll-ca.crt" $etc) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- with .Values.forward -}}
{{- if .enabled -}}
{{- $_ := set $env "FORWARD_ALLOW_FILE" (printf "%s/forward-allow" $etc) -}}
{{- $_ := set $env "FORWARD_SCHEME" .scheme -}}
{{- if not .verify -}}
{{- $_ := set $env "FORWARD_VERIFY" "off" -}}
{{- end -}}
{{- $_ := set $env "FORWARD_HTTP" .http -}}
{{- $_ := set $env "FORWARD_FROM" .from -}}
{{- if .caSecret -}}
{{- $_ := set $env "FORWARD_CA" (printf "%s/forward-ca.crt" $etc) -}}
{{- end -}}
{{- if .usersSecret -}}
{{- $_ := set $env "FORWARD_USERS" (printf "%s/forward-users" $etc) -}}
{{- end -}}
{{- if .clientCASecret -}}
{{- $_ := set $env "FORWARD_CLIENT_CA" (printf "%s/forward-client-ca.crt" $etc) -}}
{{- end -}}
{{- if .checkmeKeySecret -}}
{{- $_ := set $env "FORWARD_CHECKME_KEY_FILE" (printf "%s/checkme.key" $etc) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if $env -}}
env:
{{- range $name, $value := $env }}
{{- if $value }}
  - name: MONITORING_PROXY_{{ $name }}
    value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}


{{- define "proxy.files" -}}
- configMap:
    name: {{ include "proxy.hosts" . }}
    items:
      - key: hosts
        path: hosts
- configMap:
    name: {{ include "proxy.hosts" . }}
    # it may come later
    optional: true
    items:
      - key: ssh_ca.pub
        path: ssh_ca.pub
- configMap:
    name: {{ include "proxy.targets" . }}
    items:
      - key: targets
        path: targets
{{- with include "proxy.sharedKeys" . }}
- configMap:
    name: {{ . }}
    items:
      - key: public-keys
        path: public-keys
{{- end }}
{{- if .Values.poll.enabled }}
{{- with .Values.poll.tokensSecret }}
{{ include "proxy.secretFile" (list . "tokens" "tokens" "0444") }}
{{- end }}
{{- with .Values.poll.passwordsSecret }}
{{ include "proxy.secretFile" (list . "passwords" "passwords" "0444") }}
{{- end }}
{{- with .Values.poll.tlsSecret }}
{{ include "proxy.secretFile" (list . "tls.crt" "poll.crt" "0444") }}
{{ include "proxy.secretFile" (list . "tls.key" "poll.key" "0400") }}
{{- end }}
{{- with .Values.poll.clientCASecret }}
{{ include "proxy.secretFile" (list . "ca.crt" "poll-ca.crt" "0444") }}
{{- end }}
{{- end }}
{{- if .Values.forward.enabled }}
- configMap:
    name: {{ include "proxy.fullname" . }}-forward
    items:
      - key: allow
        path: forward-allow
{{ include "proxy.secretFile" (list .Values.forward.tlsSecret "tls.crt" "tls/server.crt" "0444") }}
{{ include "proxy.secretFile" (list .Values.forward.tlsSecret "tls.key" "tls/server.key" "0400") }}
{{- with .Values.forward.caSecret }}
{{ include "proxy.secretFile" (list . "ca.crt" "forward-ca.crt" "0444") }}
{{- end }}
{{- with .Values.forward.usersSecret }}
{{ include "proxy.secretFile" (list . "users" "forward-users" "0444") }}
{{- end }}
{{- with .Values.forward.clientCASecret }}
{{ include "proxy.secretFile" (list . "ca.crt" "forward-client-ca.crt" "0444") }}
{{- end }}
{{- with .Values.forward.checkmeKeySecret }}
{{ include "proxy.secretFile" (list . "key" "checkme.key" "0400") }}
{{- end }}
{{- end }}
{{- end -}}
