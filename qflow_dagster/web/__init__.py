"""Pages and endpoints over HTTP: the inbox to decide in, health and metrics, error intake.

- `app`: the application and its routes
- `access`: the guard: who is asking, from where, and what every answer carries
- `origins`, `peers`: what headers say of pages, and what the kernel says of processes
- `inbox`: pages of approvals
- `monitoring`: health for probes, metrics for Prometheus
- `sentry`: errors from any Sentry SDK

One small server (`qflow inbox`). Does not belong here: Dagster, whose page `launching` puts behind the
same guard; any decision, which the domains make.
"""
