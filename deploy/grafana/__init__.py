"""Dashboards as code: a module for each, made of Grafana's own builders and written as JSON that any Grafana loads."""
