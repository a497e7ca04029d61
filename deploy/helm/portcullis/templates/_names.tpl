{{/* Names and labels that every object has, and the configuration as it is mounted. */}}
{{- define "portcullis.name" -}}
{{- if eq .Release.Name .Chart.Name }}{{ .Chart.Name }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "portcullis.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "portcullis.labels" -}}
{{ include "portcullis.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "portcullis.config" -}}
{{- $own := dict "version" 1 "server" (dict "listen" "0.0.0.0:8443") "admin" (dict "listen" "${env:POD_IP}:9090") -}}
{{- mergeOverwrite $own (deepCopy .Values.config) | toYaml -}}
{{- end }}

{{/* What would start and then go wrong. */}}
{{- define "portcullis.check" -}}
{{- if not .Values.config.server }}{{ fail "config is missing: the gateway.yaml of docs/configuration.md" }}{{ end }}
{{- $drain := .Values.config.server.drainTimeout | default "30s" }}
{{- if and (regexMatch "^[0-9]+s$" $drain) (ge (trimSuffix "s" $drain | int) (.Values.terminationGracePeriodSeconds | int)) }}
{{- fail (printf "terminationGracePeriodSeconds must be more than config.server.drainTimeout (%s): requests would be cut" $drain) }}
{{- end }}
{{- if or .Values.autoscaling.enabled (gt (.Values.replicas | int) 1) }}
{{- range $name, $upstream := .Values.config.upstreams }}
{{- $assertion := dig "identity" "assertion" dict $upstream }}
{{- if and $assertion (not $assertion.keyFiles) }}
{{- fail (printf "config.upstreams.%s.identity.assertion needs keyFiles: each replica would sign with a key of its own" $name) }}
{{- end }}
{{- end }}
{{- range .Values.config.routes }}
{{- if and .mcp (not .mcp.sessionKeyFiles) }}
{{- fail (printf "the MCP route %s needs mcp.sessionKeyFiles: a session of one replica would be unknown to the others" (.name | default .path)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
