{{- /* A Deployment of one part. Expects: root, part, replicas, args, and where they differ command, variables, ports, probe. */ -}}
{{- define "qflow.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .root.Release.Name }}-{{ .part }}
  labels: {{- include "qflow.labels" . | nindent 4 }}
spec:
  replicas: {{ .replicas }}
  selector:
    matchLabels: {{- include "qflow.labels" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "qflow.labels" . | nindent 8 }}
    spec:
      automountServiceAccountToken: false
      # A run that is interrupted reports it.
      terminationGracePeriodSeconds: 60
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        fsGroup: 10001
      containers:
        - name: {{ .part }}
          image: {{ printf "%s:%s" .root.Values.image.repository .root.Values.image.tag | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          {{- with .command }}
          command: {{ toJson . }}
          {{- end }}
          args: {{ toJson .args }}
          envFrom:
            - secretRef: {name: {{ .root.Values.secret }}}
          env:
            {{- range $name, $value := merge (dict) (.variables | default dict) .root.Values.settings }}
            - {name: {{ $name }}, value: {{ $value | toString | quote }}}
            {{- end }}
            - name: QFLOW_HOME
              value: /var/lib/qflow
          {{- with .port }}
          ports:
            - {name: main, containerPort: {{ . }}}
          {{- end }}
          {{- with .probe }}
          readinessProbe: {{- toYaml . | nindent 12 }}
          livenessProbe:
            {{- toYaml . | nindent 12 }}
            initialDelaySeconds: 60
            failureThreshold: 6
          {{- end }}
          resources: {{- toYaml (.resources | default dict) | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: home, mountPath: /var/lib/qflow}
            - {name: temporary, mountPath: /tmp}
            {{- if .workspace }}
            - {name: workspace, mountPath: /etc/qflow, readOnly: true}
            {{- end }}
      volumes:
        - name: home
          emptyDir: {sizeLimit: {{ .root.Values.home.sizeLimit }}}
        - name: temporary
          emptyDir: {}
        {{- if .workspace }}
        - name: workspace
          configMap: {name: {{ .root.Release.Name }}-workspace}
        {{- end }}
{{- end -}}

{{- define "qflow.labels" -}}
app.kubernetes.io/name: qflow
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}
