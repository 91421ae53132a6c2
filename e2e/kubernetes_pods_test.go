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

// TestKubernetesPodSecurity evaluates the level "restricted" with the code of the API server.
func TestKubernetesPodSecurity(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	eachBase(t, func(t *testing.T, b base, c cluster) {
		pod := c.template(t)
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
		if !result.Allowed {
			t.Error(result.ForbiddenDetail())
		}
		if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
			t.Error("the pod has a token of the Kubernetes API")
		}
		users := map[int64]bool{}
		for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			if own := container.SecurityContext; own == nil || own.ReadOnlyRootFilesystem == nil || !*own.ReadOnlyRootFilesystem {
				t.Errorf("%s may write", container.Name)
			}
			user := userOf(pod.Spec, container)
			if users[user] {
				t.Errorf("%s has a user of another container's: it could look into that", container.Name)
			}
			users[user] = true
		}
		for _, namespace := range c.namespaces {
			if namespace.Labels[podsecurity.EnforceLevelLabel] != string(podsecurity.LevelRestricted) {
				t.Errorf("the namespace's labels are %v", namespace.Labels)
			}
		}
	})
}

func userOf(pod corev1.PodSpec, container corev1.Container) int64 {
	if own := container.SecurityContext; own != nil && own.RunAsUser != nil {
		return *own.RunAsUser
	}
	if pod.SecurityContext != nil && pod.SecurityContext.RunAsUser != nil {
		return *pod.SecurityContext.RunAsUser
	}
	return -1
}

// TestKubernetesSecrets holds that secrets are files of the broker's alone, that a changed one arrives, and that the README
// tells how to make each.
func TestKubernetesSecrets(t *testing.T) {
	readme := kubernetesReadme(t)
	eachBase(t, func(t *testing.T, _ base, c cluster) {
		pod := c.template(t).Spec
		secrets := map[string]string{} // by volume
		for _, volume := range pod.Volumes {
			secret := volume.Secret
			if secret == nil {
				t.Errorf("the volume %s is no Secret", volume.Name)
				continue
			}
			secrets[volume.Name] = secret.SecretName
			if !strings.Contains(readme, "kubectl create secret generic "+secret.SecretName+" ") {
				t.Errorf("the README does not say how to make the Secret %s", secret.SecretName)
			}
			// Whole, so that a key that is added arrives too; for the group that the broker is in.
			if secret.DefaultMode == nil || *secret.DefaultMode != 0o440 || len(secret.Items) > 0 || secret.Optional != nil {
				t.Errorf("the Secret %s is mounted as %+v", secret.SecretName, secret)
			}
			if pod.SecurityContext.FSGroup == nil || *pod.SecurityContext.FSGroup != 65532 {
				t.Error("the volumes have another group than the broker")
			}
		}
		for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
			if container.Name != "broker" && len(container.VolumeMounts) > 0 {
				t.Errorf("%s mounts %v", container.Name, container.VolumeMounts)
			}
			for _, mount := range container.VolumeMounts {
				if mount.SubPath != "" || mount.SubPathExpr != "" || !mount.ReadOnly {
					t.Errorf("%s is mounted with subPath, or to be written", mount.Name)
				}
				delete(secrets, mount.Name)
			}
			for _, variable := range container.Env {
				if variable.ValueFrom != nil && variable.ValueFrom.FieldRef == nil {
					t.Errorf("%s does not have its value here", variable.Name)
				}
			}
			if len(container.EnvFrom) > 0 {
				t.Error("variables come from elsewhere")
			}
		}
		if len(secrets) > 0 {
			t.Errorf("nobody mounts %v", secrets)
		}
		broker := brokerOf(t, pod)
		for _, variable := range broker.Env {
			if !strings.HasSuffix(variable.Name, "_FILE") {
				continue
			}
			if !slices.ContainsFunc(broker.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path.Dir(variable.Value) }) {
				t.Errorf("%s: nothing is mounted at %s", variable.Name, path.Dir(variable.Value))
			}
			if key := path.Base(variable.Value); !strings.Contains(readme, `> "$dir/`+key+`"`) && !strings.Contains(readme, "--from-file="+key+" ") {
				t.Errorf("%s: the README makes no %s", variable.Name, key)
			}
		}
	})
}

// TestKubernetesBrokerContainer holds what is so of every container of the broker's.
func TestKubernetesBrokerContainer(t *testing.T) {
	help, err := exec.Command(binary, "-h").Output()
	if err != nil {
		t.Fatal(err)
	}
	eachBase(t, func(t *testing.T, b base, c cluster) {
		pod := c.template(t).Spec
		broker := brokerOf(t, pod)
		if broker.Image != "etrusted-broker:1.0.0" {
			t.Errorf("kustomization.yaml does not say the image: it is %s", broker.Image)
		}
		if len(broker.Command) > 0 || len(broker.Args) > 0 {
			t.Error("the image knows its command")
		}
		for i, variable := range broker.Env {
			known := regexp.MustCompile(`(?m)^  (.*, )?` + variable.Name + `(,|$| )`).Match(help)
			used := slices.ContainsFunc(broker.Env[i+1:], func(later corev1.EnvVar) bool { // later: those before are left as they are
				return strings.Contains(later.Value, "$("+variable.Name+")")
			})
			if !known && !used {
				t.Errorf("the broker knows no variable %s", variable.Name)
			}
		}
		if memory := broker.Resources.Limits.Memory(); memory.String() != "128Mi" || !broker.Resources.Limits.Cpu().IsZero() || broker.Resources.Requests.Cpu().IsZero() {
			t.Errorf("resources are %v", broker.Resources)
		}
		if !slices.Contains(broker.Env, corev1.EnvVar{Name: "GOMEMLIMIT", Value: "112MiB"}) {
			t.Error("GOMEMLIMIT is not a little less than the limit")
		}

		most := graceOf(t, broker)
		if broker.Lifecycle != nil {
			most += time.Duration(broker.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		}
		if given := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; given < most+5*time.Second {
			t.Errorf("the pod is killed after %v, and may need %v", given, most)
		}
		if b.central() {
			// It must serve on while the nodes learn that the pod is going.
			if broker.Lifecycle == nil || broker.Lifecycle.PreStop.Sleep.Seconds < 3 {
				t.Error("there is no pause before SIGTERM")
			}
			return
		}
		// A native sidecar: started before the app and ended after it, and no reason for the pod to go on.
		if i := slices.IndexFunc(pod.InitContainers, func(c corev1.Container) bool { return c.Name == "broker" }); i != 0 ||
			broker.RestartPolicy == nil || *broker.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			t.Error("the broker is no native sidecar")
		}
		if broker.StartupProbe == nil {
			t.Error("the app does not wait for the broker")
		}
	})
}

// graceOf asks the broker for the BROKER_SHUTDOWN_GRACE in effect.
func graceOf(t *testing.T, broker corev1.Container) time.Duration {
	t.Helper()
	command := exec.Command(binary, "config")
	for _, variable := range broker.Env {
		if variable.Name == "BROKER_SHUTDOWN_GRACE" {
			command.Env = []string{variable.Name + "=" + variable.Value}
		}
	}
	output, _ := command.Output() // the credentials are missing, and that is complained about
	match := regexp.MustCompile(`(?m)^BROKER_SHUTDOWN_GRACE +(\S+)`).FindSubmatch(output)
	if match == nil {
		t.Fatalf("no BROKER_SHUTDOWN_GRACE in:\n%s", output)
	}
	grace, err := time.ParseDuration(string(match[1]))
	if err != nil {
		t.Fatal(err)
	}
	return grace
}

func TestKubernetesJob(t *testing.T) {
	eachBase(t, func(t *testing.T, b base, c cluster) {
		for _, cronJob := range c.cronJobs {
			job := cronJob.Spec.JobTemplate.Spec
			if job.BackoffLimit == nil || job.ActiveDeadlineSeconds == nil || job.Template.Spec.RestartPolicy != corev1.RestartPolicyNever {
				t.Errorf("it may try for ever: %+v", job)
				continue
			}
			probe := brokerOf(t, job.Template.Spec).StartupProbe
			if waits := int64(probe.PeriodSeconds * probe.FailureThreshold); waits < *job.ActiveDeadlineSeconds {
				t.Errorf("the broker is restarted after %d s without a token, the job may take %d s", waits, *job.ActiveDeadlineSeconds)
			}
		}
		if (len(c.cronJobs) > 0) != (b.folder == "job") {
			t.Errorf("%d jobs", len(c.cronJobs))
		}
	})
}

// TestKubernetesReadme holds that its commands name what there is.
func TestKubernetesReadme(t *testing.T) {
	t.Parallel()
	readme := kubernetesReadme(t)
	applied := regexp.MustCompile(`kubectl apply -[kf] ([a-z/.]+)`).FindAllStringSubmatch(readme, -1)
	if len(applied) != len([]string{"sidecar", "job", "central/namespace.yaml", "central"}) {
		t.Errorf("%d are applied", len(applied))
	}
	links := regexp.MustCompile(`\]\(([a-z/.]+)\)`).FindAllStringSubmatch(readme, -1)
	for _, match := range append(applied, links...) {
		if _, err := os.Stat(path.Join(kubernetesExamples, match[1])); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"deployment/shop", "cronjob/channels", "deployment/etrusted-broker"} {
		found := slices.ContainsFunc(bases, func(b base) bool {
			c := b.apply(t)
			return len(c.deployments) == 1 && name == "deployment/"+c.deployments[0].Name || len(c.cronJobs) == 1 && name == "cronjob/"+c.cronJobs[0].Name
		})
		if !found || !strings.Contains(readme, name) {
			t.Errorf("%s: there is none, or it is not used", name)
		}
	}
}

func kubernetesReadme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(path.Join(kubernetesExamples, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
