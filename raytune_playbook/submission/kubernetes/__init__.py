"""A job file as a RayJob for Kubernetes.

`manifest` begins with the manifests of ``k8s/`` at the top of the repository, which travel with the package in
``manifests.yaml``, and changes in them what the job decides: names, the command, code, sizes.
"""
