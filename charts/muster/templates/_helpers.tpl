{{/* Names. A release called muster gives muster-operator, not muster-muster-operator. The name of a job has 50 characters at most. */}}
{{/* A release may be called 1st or team.a; a Service may not. */}}
{{- define "muster.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := .Values.fullnameOverride -}}
{{- if not $full -}}
{{- $full = ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | replace "." "-" -}}
{{- end -}}
{{- ternary (printf "m-%s" $full) $full (regexMatch "^[0-9]" $full) | trunc 36 | trimSuffix "-" -}}
{{- end -}}

{{/* What an upgrade with --reuse-values from a release that had no such values lacks: as values.yaml says. */}}
{{- define "muster.complete" -}}
{{- $defaults := .Files.Get "files/values.yaml" | fromYaml -}}
{{- range list "history" "progress" "podSecurityContext" "containerSecurityContext" -}}
{{- if not (hasKey $.Values .) -}}{{- $_ := set $.Values . (get $defaults .) -}}{{- end -}}
{{- end -}}
{{- range $name, $image := $defaults.images -}}
{{- if not (hasKey $.Values.images $name) -}}{{- $_ := set $.Values.images $name $image -}}{{- end -}}
{{- end -}}
{{- if and .Values.progress.enabled (eq (int .Values.metrics.port) (int .Values.progress.port)) -}}
{{- fail (printf "metrics.port and progress.port are both %d: the operator listens for both, choose another for one" (int .Values.metrics.port)) -}}
{{- end -}}
{{- end -}}

{{- define "muster.operator" -}}{{ include "muster.fullname" . }}-operator{{- end -}}

{{/* The Service where programs tell their progress. Pods that run know it by this name. */}}
{{- define "muster.progress" -}}{{ include "muster.operator" . }}-progress{{- end -}}

{{- define "muster.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "muster.operator" .) -}}
{{- end -}}

{{/* Names of objects of the whole cluster hold the namespace, so that releases of the same name do not meet. */}}
{{- define "muster.clusterName" -}}{{ .Release.Namespace }}-{{ include "muster.operator" . }}{{- end -}}

{{/* What the operator's pods are found by. */}}
{{- define "muster.selectorLabels" -}}
{{ include "muster.nameLabels" . }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "muster.nameLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The chart's labels, the common ones, and MORE, which win over those: include "muster.labels" (dict "root" $ "labels" MORE) */}}
{{- define "muster.labels" -}}
{{ include "muster.nameLabels" .root }}
app.kubernetes.io/part-of: muster
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with merge (dict) (.labels | default dict) .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels and annotations of an object: include "muster.metadata" (dict "root" $ "labels" MORE "annotations" MORE) */}}
{{- define "muster.metadata" -}}
labels:
  {{- include "muster.labels" . | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A hook of `helm test`, in the order of their weights; what a failed test made stays until the next one. */}}
{{- define "muster.hook" -}}
{{- $annotations := dict "helm.sh/hook" "test" "helm.sh/hook-weight" (.weight | toString) "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" -}}
{{- include "muster.metadata" (dict "root" .root "annotations" $annotations) -}}
{{- end -}}

{{- define "muster.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The reference of an image: include "muster.image" (list . "worker") */}}
{{- define "muster.image" -}}
{{- $root := index . 0 -}}
{{- $image := get $root.Values.images (index . 1) -}}
{{- with $root.Values.imageRegistry -}}{{ trimSuffix "/" . }}/{{- end -}}
{{- $image.repository -}}
{{- if $image.digest -}}@{{ $image.digest }}{{- else -}}:{{ $image.tag | default $root.Chart.AppVersion }}{{- end -}}
{{- end -}}

{{/* Of the Lease that replicas elect their leader by. */}}
{{- define "muster.lease" -}}{{ include "muster.operator" . }}.muster.dev{{- end -}}

{{/* Of the operator's own pods and of that of `helm test`. */}}
{{- define "muster.podSecurity" -}}
{{- include "muster.complete" . -}}
{{- toYaml .Values.podSecurityContext -}}
{{- end -}}
{{- define "muster.containerSecurity" -}}
{{- include "muster.complete" . -}}
{{- toYaml .Values.containerSecurityContext -}}
{{- end -}}
