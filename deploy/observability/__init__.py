"""Dashboards, objectives and alerts of a mesh, from which the Kubernetes component of that name is written."""
