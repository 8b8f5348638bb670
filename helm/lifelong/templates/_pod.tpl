{{/* What every pod has in common; the context is (list $ container environment): the container's own fields and variables. */}}
{{- define "lifelong.pod" -}}
{{- $ := index . 0 -}}
serviceAccountName: {{ include "lifelong.serviceAccount" $ }}
automountServiceAccountToken: false
{{- with $.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{- include "lifelong.selector" $ | nindent 12 }}
{{- with $.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
terminationGracePeriodSeconds: 60
containers:
  - {{ index . 1 | nindent 4 | trim }}
    image: "{{ $.Values.image.repository }}:{{ default $.Chart.AppVersion $.Values.image.tag }}"
    imagePullPolicy: {{ $.Values.image.pullPolicy }}
    command: [tini, --, lifelong, node, --, bash, -c]
    env:
      {{- include "lifelong.environment" $ | nindent 6 }}
      {{- with index . 2 }}
      {{- . | nindent 6 }}
      {{- end }}
    {{- with $.Values.extraEnvFrom }}
    envFrom: {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    volumeMounts:
      - {name: models, mountPath: /etc/lifelong/models, readOnly: true}
      - {name: tokens, mountPath: /etc/lifelong/tokens, readOnly: true}
      {{- range tuple "kafka" "mlflow" }}
      {{- if get (get $.Values .) "caSecret" }}
      - {name: {{ . }}-ca, mountPath: /etc/lifelong/{{ . }}-ca, readOnly: true}
      {{- end }}
      {{- end }}
      - {name: state, mountPath: /var/lib/lifelong}
      - {name: tmp, mountPath: /tmp}
      - {name: shared-mem, mountPath: /dev/shm}
      {{- with $.Values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - name: models
    configMap: {name: {{ include "lifelong.configMap" $ }}}
  - name: tokens
    secret:
      secretName: {{ $.Values.existingSecret }}
      defaultMode: 0440
      items: [{key: tokens.json, path: tokens.json}]
  {{- range $part := tuple "kafka" "mlflow" }}
  {{- with get (get $.Values $part) "caSecret" }}
  - name: {{ $part }}-ca
    secret:
      secretName: {{ . }}
      defaultMode: 0440
      items: [{key: ca.crt, path: ca.crt}]
  {{- end }}
  {{- end }}
  - name: state
    persistentVolumeClaim: {claimName: {{ default (include "lifelong.fullname" $) $.Values.state.existingClaim }}}
  # Ray's sessions, HAProxy's files and what libraries leave behind.
  - name: tmp
    emptyDir: {sizeLimit: {{ $.Values.temporary.sizeLimit }}}
  - name: shared-mem
    emptyDir: {medium: Memory, sizeLimit: 256Mi}
  {{- with $.Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "lifelong.environment" -}}
- {name: HOME, value: /tmp}
- {name: PYTHONPATH, value: /etc/lifelong}
# An erasure writes files of the state anew, by way of a copy that has no room in /tmp.
- {name: SQLITE_TMPDIR, value: /var/lib/lifelong}
- {name: RAY_USAGE_STATS_ENABLED, value: "0"}
{{- if .Values.jsonLogs }}
- {name: LIFELONG_LOG, value: json}
{{- end }}
# The trainer sees the GPUs of its pod without reserving them.
- {name: RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO, value: "0"}
- {name: LIFELONG__SERVICE__TOKENS, value: /etc/lifelong/tokens/tokens.json}
{{- with .Values.kafka }}
{{- if .bootstrapServers }}
- {name: LIFELONG__FEEDBACK__KIND, value: kafka}
- {name: LIFELONG__FEEDBACK__BOOTSTRAP_SERVERS, value: {{ .bootstrapServers | quote }}}
- {name: LIFELONG__FEEDBACK__SECURITY_PROTOCOL, value: {{ .securityProtocol }}}
- {name: LIFELONG__FEEDBACK__CREATE_TOPIC, value: {{ not .topics.create | quote }}}
{{- with .saslMechanism }}
- {name: LIFELONG__FEEDBACK__SASL_MECHANISM, value: {{ . }}}
{{- end }}
{{- if .existingSecret }}
- name: LIFELONG__FEEDBACK__USERNAME
  {{- if .username }}
  value: {{ .username | quote }}
  {{- else }}
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: username}}
  {{- end }}
- name: LIFELONG__FEEDBACK__PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .passwordKey }}}}
{{- end }}
{{- if .caSecret }}
- {name: LIFELONG__FEEDBACK__CA_FILE, value: /etc/lifelong/kafka-ca/ca.crt}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.mlflow.uri }}
- {name: LIFELONG__REGISTRY__URI, value: {{ . | quote }}}
{{- end }}
{{- if .Values.mlflow.caSecret }}
- {name: MLFLOW_TRACKING_SERVER_CERT_PATH, value: /etc/lifelong/mlflow-ca/ca.crt}
{{- end }}
{{- with .Values.mlflow.existingSecret }}
- name: MLFLOW_TRACKING_USERNAME
  valueFrom: {secretKeyRef: {name: {{ . }}, key: username}}
- name: MLFLOW_TRACKING_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ . }}, key: password}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
