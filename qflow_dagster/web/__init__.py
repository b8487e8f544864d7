"""Pages and endpoints over HTTP: the inbox for decisions, health and metrics, error intake.

- `app`: the application and its routes
- `access`: authentication, origins, and security headers
- `origins`, `peers`: origins of pages from headers, owners of local connections from the kernel
- `inbox`, `request_page`: pages of approvals; `diffs`, `syntax`: how changes are shown
- `api`, `api_tokens`: the HTTP API of approvals
- `monitoring`: health for probes, metrics for Prometheus
- `sentry`: errors from any Sentry SDK

All are served by `qflow inbox`. Does not belong here: Dagster, whose page `launching` puts behind the
same guard; decisions, which the domains make.
"""
