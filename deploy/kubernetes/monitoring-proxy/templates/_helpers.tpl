{{- define "proxy.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end -}}

{{/* of what is in the namespace once for each release; with room for -discovery */}}
{{- define "proxy.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "proxy.name" .) .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "proxy.name" .) | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* by what pods are chosen, and what never changes */}}
{{- define "proxy.selector" -}}
app.kubernetes.io/name: {{ include "proxy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "proxy.labels" -}}
{{ include "proxy.selector" . }}
{{ include "proxy.common" . }}
{{- end -}}

{{/* the discovery looks for the name above, so that its own is another */}}
{{- define "discovery.selector" -}}
app.kubernetes.io/name: {{ include "proxy.name" . }}-discovery
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "discovery.labels" -}}
{{ include "discovery.selector" . }}
{{ include "proxy.common" . }}
{{- end -}}

{{- define "proxy.common" -}}
app.kubernetes.io/part-of: monitoring-proxy
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* called with an image and the chart's version of it */}}
{{- define "proxy.image" -}}
{{- $image := index . 0 -}}
{{- printf "%s:%s" $image.repository ($image.tag | default (index . 1)) -}}
{{- end -}}

{{/* names of ConfigMaps: the user's own, or the chart's */}}
{{- define "proxy.hosts" -}}
{{- .Values.hosts.configMap | default (printf "%s-hosts" (include "proxy.fullname" .)) -}}
{{- end -}}

{{- define "proxy.targets" -}}
{{- .Values.targets.configMap | default (printf "%s-targets" (include "proxy.fullname" .)) -}}
{{- end -}}

{{- define "proxy.sharedKeys" -}}
{{- if .Values.sharedKeys.configMap -}}
{{- .Values.sharedKeys.configMap -}}
{{- else if .Values.sharedKeys.text -}}
{{- printf "%s-public-keys" (include "proxy.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/* a file of a Secret in /etc/monitoring: SECRET, KEY, PATH, MODE */}}
{{- define "proxy.secretFile" -}}
- secret:
    name: {{ index . 0 }}
    items:
      - key: {{ index . 1 }}
        path: {{ index . 2 }}
        mode: {{ index . 3 }}
{{- end -}}

{{/* replicas over topology KEY: the chart, KEY */}}
{{- define "proxy.spread" -}}
{{- $chart := index . 0 -}}
- maxSkew: 1
  topologyKey: {{ index . 1 }}
  whenUnsatisfiable: {{ $chart.Values.spread }}
  labelSelector:
    matchLabels:
      {{- include "proxy.selector" $chart | nindent 6 }}
{{- end -}}
