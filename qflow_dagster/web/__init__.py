"""Pages and endpoints over HTTP: the inbox to decide in, health and metrics, error intake.

- `app`: the application and its routes
- `access`: who is asking, and what every answer carries
- `inbox`: pages of approvals
- `monitoring`: health for probes, metrics for Prometheus
- `sentry`: errors from any Sentry SDK

One small server (`qflow inbox`). Does not belong here: Dagster, whose page is its own; any
decision, which the domains make.
"""
