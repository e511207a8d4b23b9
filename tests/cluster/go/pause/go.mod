// The process that holds a pod's namespaces.
module paramedic.dev/rig/pause

go 1.24.0
