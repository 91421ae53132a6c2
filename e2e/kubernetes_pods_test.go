package e2e

import (
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// TestKubernetesPodsAreRestricted checks the Pod Security Standard "restricted" with the API server's code, and a few
// stricter rules.
func TestKubernetesPodsAreRestricted(t *testing.T) {
	forEachVariant(t, func(t *testing.T, v variant, res resources) {
		wantRestricted(t, res.podTemplate(t))
		for _, namespace := range res.namespaces() {
			if namespace.Labels[podsecurity.EnforceLevelLabel] != string(podsecurity.LevelRestricted) {
				t.Errorf("namespace labels: got %v, want %s=restricted", namespace.Labels, podsecurity.EnforceLevelLabel)
			}
		}
	})
}

func wantRestricted(t *testing.T, pod corev1.PodTemplateSpec) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
	if !result.Allowed {
		t.Error(result.ForbiddenDetail())
	}
	if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
		t.Error("the pod gets a token for the Kubernetes API, want none")
	}
	users := map[int64]bool{}
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if own := container.SecurityContext; own == nil || own.ReadOnlyRootFilesystem == nil || !*own.ReadOnlyRootFilesystem {
			t.Errorf("container %s: the root file system is writable, want read-only", container.Name)
		}
		user := runAsUser(pod.Spec, container)
		if users[user] {
			t.Errorf("container %s runs as user %d like another container, so it could inspect that one; want its own user", container.Name, user)
		}
		users[user] = true
	}
}

func runAsUser(pod corev1.PodSpec, container corev1.Container) int64 {
	if own := container.SecurityContext; own != nil && own.RunAsUser != nil {
		return *own.RunAsUser
	}
	if pod.SecurityContext != nil && pod.SecurityContext.RunAsUser != nil {
		return *pod.SecurityContext.RunAsUser
	}
	return -1
}

// TestKubernetesSecretsAreFilesOfTheBroker also checks that a changed Secret reaches the broker, and that the README says how
// to create each Secret.
func TestKubernetesSecretsAreFilesOfTheBroker(t *testing.T) {
	readme := kubernetesReadme(t)
	forEachVariant(t, func(t *testing.T, _ variant, res resources) {
		pod := res.podTemplate(t).Spec
		secrets := map[string]string{} // by volume
		for _, volume := range pod.Volumes {
			secrets[volume.Name] = volume.Name
			for _, name := range secretNames(volume) {
				if !strings.Contains(readme, "kubectl create secret generic "+name+" ") && name != "etrusted-caller-erp" { // as for shop
					t.Errorf("the README does not say how to create the Secret %s", name)
				}
			}
			// Readable by the group, which is the broker's.
			switch {
			case volume.Projected != nil:
				wantCallerSecrets(t, volume.Projected)
			case volume.Secret == nil:
				t.Errorf("volume %s has no Secret", volume.Name)
			default: // the whole Secret, so that an added key arrives too
				if secret := volume.Secret; secret.DefaultMode == nil || *secret.DefaultMode != 0o440 || len(secret.Items) > 0 || secret.Optional != nil {
					t.Errorf("Secret %s: got volume %+v, want mode 0440, all keys, not optional", secret.SecretName, secret)
				}
			}
			if pod.SecurityContext.FSGroup == nil || *pod.SecurityContext.FSGroup != 65532 {
				t.Error("fsGroup is not 65532, the broker's group")
			}
		}
		for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
			if container.Name != "broker" && len(container.VolumeMounts) > 0 {
				t.Errorf("container %s mounts %v, want nothing", container.Name, container.VolumeMounts)
			}
			for _, mount := range container.VolumeMounts {
				if mount.SubPath != "" || mount.SubPathExpr != "" || !mount.ReadOnly {
					t.Errorf("volume %s is mounted with subPath or writable, want whole and read-only", mount.Name)
				}
				delete(secrets, mount.Name)
			}
			for _, variable := range container.Env {
				if variable.ValueFrom != nil && variable.ValueFrom.FieldRef == nil {
					t.Errorf("variable %s comes from a Secret or ConfigMap, want a value", variable.Name)
				}
			}
			if len(container.EnvFrom) > 0 {
				t.Errorf("container %s has envFrom, want only env", container.Name)
			}
		}
		if len(secrets) > 0 {
			t.Errorf("no container mounts %v", secrets)
		}
		container := brokerContainer(t, pod)
		for _, variable := range container.Env {
			if !strings.HasSuffix(variable.Name, "_FILE") {
				continue
			}
			if !slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path.Dir(variable.Value) }) {
				t.Errorf("%s: no volume is mounted at %s", variable.Name, path.Dir(variable.Value))
			}
			if key := path.Base(variable.Value); !strings.Contains(readme, `> "$dir/`+key+`"`) && !strings.Contains(readme, "--from-file="+key+" ") {
				t.Errorf("%s: the README does not say how to create the key %s", variable.Name, key)
			}
		}
	})
}

// secretNames returns the names of the Secrets in a volume.
func secretNames(volume corev1.Volume) (names []string) {
	if volume.Secret != nil {
		names = append(names, volume.Secret.SecretName)
	}
	if volume.Projected != nil {
		for _, source := range volume.Projected.Sources {
			names = append(names, source.Secret.Name)
		}
	}
	return names
}

// wantCallerSecrets checks that each Secret is a caller: optional, so that deleting it removes the caller, and in a directory of its
// own.
func wantCallerSecrets(t *testing.T, volume *corev1.ProjectedVolumeSource) {
	t.Helper()
	if volume.DefaultMode == nil || *volume.DefaultMode != 0o440 {
		t.Errorf("got mode %v, want 0440", volume.DefaultMode)
	}
	for _, source := range volume.Sources {
		caller := strings.TrimPrefix(source.Secret.Name, "etrusted-caller-")
		if source.Secret.Optional == nil || !*source.Secret.Optional || source.Secret.Items[0].Key != "key" {
			t.Errorf("Secret %s: got %+v, want it optional, with a key", source.Secret.Name, source.Secret)
		}
		for _, item := range source.Secret.Items {
			if item.Path != caller+"/"+item.Key {
				t.Errorf("Secret %s: got %s at %s, want it at %s/%s", source.Secret.Name, item.Key, item.Path, caller, item.Key)
			}
		}
	}
}

// TestKubernetesBrokerContainerIsConfigured checks image, variables, resources and life cycle.
func TestKubernetesBrokerContainerIsConfigured(t *testing.T) {
	help, err := exec.Command(brokerBinary, "-h").Output()
	if err != nil {
		t.Fatal(err)
	}
	forEachVariant(t, func(t *testing.T, v variant, res resources) {
		pod := res.podTemplate(t).Spec
		container := brokerContainer(t, pod)
		if container.Image != "etrusted-broker:1.0.0" {
			t.Errorf("image: got %s, want etrusted-broker:1.0.0, as set by kustomization.yaml", container.Image)
		}
		if len(container.Command) > 0 || len(container.Args) > 0 {
			t.Error("the container sets a command or arguments, want the image's")
		}
		for i, variable := range container.Env {
			known := regexp.MustCompile(`(?m)^  (.*, )?` + variable.Name + `(,|$| )`).Match(help)
			used := slices.ContainsFunc(container.Env[i+1:], func(later corev1.EnvVar) bool { // a reference works only to a variable defined before
				return strings.Contains(later.Value, "$("+variable.Name+")")
			})
			if !known && !used {
				t.Errorf("variable %s is neither in the broker's help nor used by a later variable", variable.Name)
			}
		}
		if memory := container.Resources.Limits.Memory(); memory.String() != "128Mi" || !container.Resources.Limits.Cpu().IsZero() || container.Resources.Requests.Cpu().IsZero() {
			t.Errorf("resources: got %v, want a memory limit of 128Mi, a CPU request and no CPU limit", container.Resources)
		}
		if !slices.Contains(container.Env, corev1.EnvVar{Name: "GOMEMLIMIT", Value: "112MiB"}) {
			t.Error("GOMEMLIMIT is not 112MiB, a little below the memory limit")
		}

		needed := shutdownGrace(t, container)
		if container.Lifecycle != nil {
			needed += time.Duration(container.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		}
		if got := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; got < needed+5*time.Second {
			t.Errorf("terminationGracePeriodSeconds: got %v, want at least 5 s more than the %v that the broker may need", got, needed)
		}
		if v.central() {
			// It must keep serving until all nodes know that the pod is stopping.
			if container.Lifecycle == nil || container.Lifecycle.PreStop.Sleep.Seconds < 3 {
				t.Error("preStop has no sleep of at least 3 s before SIGTERM")
			}
			return
		}
		// A native sidecar starts before the app, stops after it, and does not keep the pod running.
		if i := slices.IndexFunc(pod.InitContainers, func(container corev1.Container) bool { return container.Name == "broker" }); i != 0 ||
			container.RestartPolicy == nil || *container.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			t.Error("the broker is not a native sidecar: want it to be the first init container, with restartPolicy Always")
		}
		if container.StartupProbe == nil {
			t.Error("the broker has no startup probe, so the app does not wait for it")
		}
	})
}

// shutdownGrace returns the BROKER_SHUTDOWN_GRACE in effect, as "broker config" prints it.
func shutdownGrace(t *testing.T, container corev1.Container) time.Duration {
	t.Helper()
	cmd := exec.Command(brokerBinary, "config")
	for _, variable := range container.Env {
		if variable.Name == "BROKER_SHUTDOWN_GRACE" {
			cmd.Env = []string{variable.Name + "=" + variable.Value}
		}
	}
	output, _ := cmd.Output() // it fails, because the credentials are missing
	match := regexp.MustCompile(`(?m)^BROKER_SHUTDOWN_GRACE +(\S+)`).FindSubmatch(output)
	if match == nil {
		t.Fatalf("the output of broker config has no BROKER_SHUTDOWN_GRACE:\n%s", output)
	}
	grace, err := time.ParseDuration(string(match[1]))
	if err != nil {
		t.Fatal(err)
	}
	return grace
}

func TestKubernetesJobHasLimits(t *testing.T) {
	forEachVariant(t, func(t *testing.T, v variant, res resources) {
		for _, cronJob := range res.cronJobs() {
			job := cronJob.Spec.JobTemplate.Spec
			if job.BackoffLimit == nil || job.ActiveDeadlineSeconds == nil || job.Template.Spec.RestartPolicy != corev1.RestartPolicyNever {
				t.Errorf("the job may run for ever: want backoffLimit, activeDeadlineSeconds and restartPolicy Never, got %+v", job)
				continue
			}
			probe := brokerContainer(t, job.Template.Spec).StartupProbe
			if waits := int64(probe.PeriodSeconds * probe.FailureThreshold); waits < *job.ActiveDeadlineSeconds {
				t.Errorf("the startup probe fails after %d s without a token, want at least the job's %d s", waits, *job.ActiveDeadlineSeconds)
			}
		}
		if got, want := len(res.cronJobs()) > 0, v.dir == "job"; got != want {
			t.Errorf("the directory %s has a CronJob: got %v, want %v", v.dir, got, want)
		}
	})
}

// TestKubernetesReadmeMatchesManifests checks that the files and objects in the README's commands exist.
func TestKubernetesReadmeMatchesManifests(t *testing.T) {
	t.Parallel()
	readme := kubernetesReadme(t)
	applied := regexp.MustCompile(`kubectl apply -[kf] ([a-z/.]+)`).FindAllStringSubmatch(readme, -1)
	if len(applied) != len([]string{"sidecar", "job", "central/namespace.yaml", "central"}) {
		t.Errorf("the README applies %d paths, want 4", len(applied))
	}
	links := regexp.MustCompile(`\]\(([a-z/.]+)\)`).FindAllStringSubmatch(readme, -1)
	for _, match := range append(applied, links...) {
		if _, err := os.Stat(path.Join(kubernetesExamples, match[1])); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"deployment/shop", "cronjob/channels", "deployment/etrusted-broker"} {
		found := slices.ContainsFunc(variants, func(v variant) bool {
			res := v.build(t)
			return len(res.deployments()) == 1 && name == "deployment/"+res.deployments()[0].Name || len(res.cronJobs()) == 1 && name == "cronjob/"+res.cronJobs()[0].Name
		})
		if !found || !strings.Contains(readme, name) {
			t.Errorf("%s: defined in the manifests: %v, want true; mentioned in the README: %v, want true", name, found, strings.Contains(readme, name))
		}
	}
}

func kubernetesReadme(t *testing.T) string { return readFile(t, kubernetesExamples+"/README.md") }
