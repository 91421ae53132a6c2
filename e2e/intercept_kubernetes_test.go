package e2e

import (
	"path/filepath"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// buildInterceptPod returns the pod of the example.
func buildInterceptPod(t *testing.T) corev1.PodTemplateSpec {
	t.Helper()
	res := buildKustomization(t, filesys.MakeFsOnDisk(), filepath.Join(interceptExamples, "kubernetes"), func(string, string) {})
	pod := res.podTemplate(t)
	wantSelected(t, res.deployments()[0].Spec.Selector, pod.Labels)
	if configMaps := resourcesOf[*corev1.ConfigMap](res); len(configMaps) != 1 {
		t.Fatalf("got %d ConfigMaps, want that of the apps", len(configMaps))
	}
	return pod
}

// TestInterceptPodKeepsTheKey: the pod is restricted, and only the broker can read ca.key.
func TestInterceptPodKeepsTheKey(t *testing.T) {
	t.Parallel()
	pod := buildInterceptPod(t)
	wantRestricted(t, pod)
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, mount := range container.VolumeMounts {
			switch {
			case mount.Name == "etrusted" && container.Name != "broker":
				t.Errorf("container %s mounts the credentials", container.Name)
			case mount.Name == "ca" && container.Name != "broker" && (mount.SubPath != "ca.crt" || !mount.ReadOnly):
				t.Errorf("container %s mounts the CA's directory as %+v, want only ca.crt, read-only", container.Name, mount)
			case mount.Name == "trust" && container.Name != "trust" && (mount.MountPath != documentedBundle || !mount.ReadOnly):
				t.Errorf("container %s mounts the bundle as %+v, want it at %s, read-only", container.Name, mount, documentedBundle)
			}
		}
	}
	if broker := pod.Spec.InitContainers[0]; broker.Name != "broker" || broker.StartupProbe == nil || *broker.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Error("the broker is not the first sidecar with a startup probe, so ca.crt may be missing when it is mounted")
	}
}

// TestInterceptKubernetesExampleRuns: with the pod's variables and aliases, both apps work.
func TestInterceptKubernetesExampleRuns(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	pod := buildInterceptPod(t).Spec
	names := []string{realAPIHost, realLoginHost}
	if got := pod.HostAliases; len(got) != 2 || got[0].IP != "127.0.0.1" || got[1].IP != "::1" || !slices.Equal(got[0].Hostnames, names) || !slices.Equal(got[1].Hostnames, names) {
		t.Errorf("got the aliases %v, want both names for 127.0.0.1 and ::1", got)
	}
	if got := pod.SecurityContext.Sysctls; len(got) != 1 || got[0] != (corev1.Sysctl{Name: "net.ipv4.ip_unprivileged_port_start", Value: "443"}) {
		t.Errorf("got the sysctls %v, want port 443 for every user", got)
	}
	environment := map[string]string{}
	for _, variable := range brokerContainer(t, pod).Env {
		environment[variable.Name] = variable.Value
	}
	r := startRealNames(t)
	b := r.startExample(t, environment)
	r.wantExampleAppsWork(t, b, "none")
}
