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

{{- define "portcullis.valkey" -}}
{{ include "portcullis.name" . }}-valkey
{{- end }}

{{- define "portcullis.valkey.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-valkey
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "portcullis.config" -}}
{{- $own := dict "version" 1 "server" (dict "listen" "0.0.0.0:8443") "admin" (dict "listen" "${env:POD_IP}:9090") -}}
{{- if .Values.valkey.enabled -}}
{{- $mounted := "/run/secrets/portcullis/valkey" -}}
{{- $redis := dict "url" (printf "rediss://%s:6379" (include "portcullis.valkey" .)) "username" "portcullis" "password" (printf "${file:%s/password}" $mounted) "caFile" (printf "%s/ca.crt" $mounted) -}}
{{- $_ := set $own "state" (dict "redis" $redis) -}}
{{- end -}}
{{- mergeOverwrite $own (deepCopy .Values.config) | toYaml -}}
{{- end }}

{{/* What would start and then go wrong. */}}
{{- define "portcullis.check" -}}
{{- if not .Values.config.server }}{{ fail "config is missing: the gateway.yaml of docs/configuration.md" }}{{ end }}
{{- $drain := .Values.config.server.drainTimeout | default "30s" }}
{{- if regexMatch "^[0-9]+[sm]$" $drain }}
{{- $seconds := mul (regexFind "[0-9]+" $drain | int) (ternary 60 1 (hasSuffix "m" $drain)) }}
{{- if ge (add $seconds (.Values.preStopSeconds | int)) (.Values.terminationGracePeriodSeconds | int64) }}
{{- fail (printf "terminationGracePeriodSeconds must be more than preStopSeconds and config.server.drainTimeout (%s) together: requests would be cut" $drain) }}
{{- end }}
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
