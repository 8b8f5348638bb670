{{/* KubeRay appends to it twice; 40 characters leave room for both. */}}
{{- define "lifelong.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "lifelong.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lifelong.labels" -}}
{{ include "lifelong.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "lifelong.serviceAccount" -}}
{{- default (ternary (include "lifelong.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end }}

{{/* The files that the ConfigMap holds, by name. */}}
{{- define "lifelong.configurations" -}}
{{- range $model, $settings := .Values.models }}
{{ $model }}.yaml: |
  {{- merge (dict "model" $model) $settings | toYaml | nindent 2 }}
{{- end }}
{{- end }}

{{/* Its name changes with what it holds: pods never read one configuration under the name of another. */}}
{{- define "lifelong.configMap" -}}
{{ include "lifelong.fullname" . }}-models-{{ include "lifelong.configurations" . | sha256sum | trunc 8 }}
{{- end }}

{{/* The paths of all configurations inside of a pod, as a JSON list. */}}
{{- define "lifelong.paths" -}}
{{- $paths := list -}}
{{- range $model := keys .Values.models | sortAlpha -}}
{{- $paths = append $paths (printf "/etc/lifelong/models/%s.yaml" $model) -}}
{{- end -}}
{{- toJson $paths -}}
{{- end }}
