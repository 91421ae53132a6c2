package e2e

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// TestKubernetesSelectorsMatchBrokerPods also checks that the ports of Services and containers are those on which the broker
// listens.
func TestKubernetesSelectorsMatchBrokerPods(t *testing.T) {
	forEachVariant(t, func(t *testing.T, v variant, res resources) {
		template, budgets := res.podTemplate(t), resourcesOf[*policyv1.PodDisruptionBudget](res)
		container := brokerContainer(t, template.Spec)
		for _, deployment := range res.deployments() {
			wantSelected(t, deployment.Spec.Selector, template.Labels)
			for _, constraint := range template.Spec.TopologySpreadConstraints {
				wantSelected(t, constraint.LabelSelector, template.Labels)
			}
		}
		for _, budget := range budgets {
			wantSelected(t, budget.Spec.Selector, template.Labels)
			replicas := *res.deployments()[0].Spec.Replicas
			if got := budget.Spec.MinAvailable.IntVal; got < 1 || got >= replicas {
				t.Errorf("minAvailable of the disruption budget: got %d, want at least 1 and fewer than the %d replicas", got, replicas)
			}
		}
		for _, policy := range res.policies() {
			wantSelected(t, &policy.Spec.PodSelector, template.Labels)
		}
		for _, service := range res.services() {
			wantSelected(t, &metav1.LabelSelector{MatchLabels: service.Spec.Selector}, template.Labels)
			if port := containerPort(container, service.Spec.Ports[0].TargetPort); len(service.Spec.Ports) != 1 || port != 8080 {
				t.Errorf("the Service has %d ports, the first for port %d; want one, for 8080", len(service.Spec.Ports), port)
			}
		}
		var declared []int32
		for _, port := range container.Ports {
			declared = append(declared, port.ContainerPort)
		}
		exposed := exposedPorts(t, container)
		if !slices.Equal(declared, exposed) {
			t.Errorf("declared ports: got %v, want those that other pods can reach: %v", declared, exposed)
		}
		if !v.central() && slices.Contains(exposed, 8080) {
			t.Error("other pods can reach port 8080, want only this pod's app")
		}
		if v.central() {
			strategy := res.deployments()[0].Spec.Strategy.RollingUpdate
			if len(budgets) != 1 || len(res.services()) != 1 || len(res.policies()) == 0 || len(res.namespaces()) != 1 || strategy.MaxUnavailable.IntVal != 0 {
				t.Errorf("got %d budgets, %d services, %d policies, %d namespaces, maxUnavailable %d; want one of each (policies: at least one) and 0",
					len(budgets), len(res.services()), len(res.policies()), len(res.namespaces()), strategy.MaxUnavailable.IntVal)
			}
		}
	})
}

func wantSelected(t *testing.T, selector *metav1.LabelSelector, pod map[string]string) {
	t.Helper()
	if len(selector.MatchLabels) == 0 || !selects(t, selector, pod) {
		t.Errorf("the selector %v does not match the pod's labels %v", selector, pod)
	}
}

func selects(t *testing.T, selector *metav1.LabelSelector, set map[string]string) bool {
	t.Helper()
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Matches(labels.Set(set))
}

// containerPort resolves a port name or number to a port of the container, or 0 if it has no such port.
func containerPort(container corev1.Container, port intstr.IntOrString) int32 {
	for _, one := range container.Ports {
		if port.StrVal == one.Name || port.Type == intstr.Int && port.IntVal == one.ContainerPort {
			return one.ContainerPort
		}
	}
	return 0
}

// exposedPorts returns the ports on which the broker listens for other pods.
func exposedPorts(t *testing.T, container corev1.Container) []int32 {
	t.Helper()
	var exposed []int32
	for _, variable := range container.Env {
		if variable.Name != "BROKER_LISTEN" && variable.Name != "BROKER_ADMIN_LISTEN" {
			continue
		}
		addr, err := netip.ParseAddrPort(variable.Value)
		if err != nil {
			t.Fatal(err)
		}
		if !addr.Addr().IsLoopback() {
			exposed = append(exposed, int32(addr.Port()))
		}
	}
	return exposed
}

// peer is one end of a connection: a pod, or an address outside of the cluster. The zero value is the broker.
type peer struct {
	namespaceLabels, podLabels map[string]string
	addr                       string
}

// TestKubernetesNetworkPolicyAllowsOnlyNeededTraffic evaluates the policies with a small implementation of the rules in the API
// reference.
func TestKubernetesNetworkPolicyAllowsOnlyNeededTraffic(t *testing.T) {
	client := readmeAppPod(t).Labels
	labelled := map[string]string{"kubernetes.io/metadata.name": "shop", "etrusted-broker/client": "true"}
	if !strings.Contains(kubernetesReadme(t), "kubectl label namespace shop etrusted-broker/client=true") {
		t.Error("the README does not say how to label the app's namespace")
	}
	plain := map[string]string{"kubernetes.io/metadata.name": "shop"}
	in := func(namespace string) peer {
		return peer{namespaceLabels: map[string]string{"kubernetes.io/metadata.name": namespace}}
	}
	forEachVariant(t, func(t *testing.T, v variant, res resources) {
		if !v.central() {
			return
		}
		store := strings.Contains(v.name, "store") || strings.Contains(v.name, "all components")
		for _, test := range []struct {
			name     string
			from, to peer // one of them is the broker
			port     int32
			protocol corev1.Protocol
			want     bool
		}{
			{"an app", peer{namespaceLabels: labelled, podLabels: client}, peer{}, 8080, "TCP", true},
			{"another pod of the app's namespace", peer{namespaceLabels: labelled}, peer{}, 8080, "TCP", false},
			{"a pod that labels itself", peer{namespaceLabels: plain, podLabels: client}, peer{}, 8080, "TCP", false},
			{"an app at the metrics port", peer{namespaceLabels: labelled, podLabels: client}, peer{}, 9464, "TCP", false},
			{"Prometheus", in("monitoring"), peer{}, 9464, "TCP", true},
			{"Prometheus at the app's port", in("monitoring"), peer{}, 8080, "TCP", false},
			{"an address on the internet", peer{addr: "203.0.113.7"}, peer{}, 8080, "TCP", false},
			{"DNS", peer{}, in("kube-system"), 53, "UDP", true},
			{"DNS over TCP", peer{}, in("kube-system"), 53, "TCP", true},
			{"DNS of the node", peer{}, peer{addr: "169.254.20.10"}, 53, "UDP", true},
			{"the API", peer{}, peer{addr: "203.0.113.7"}, 443, "TCP", true},
			{"the API over IPv6", peer{}, peer{addr: "2001:db8::7"}, 443, "TCP", true},
			{"plain HTTP", peer{}, peer{addr: "203.0.113.7"}, 80, "TCP", false},
			{"the cloud's metadata service", peer{}, peer{addr: "169.254.169.254"}, 443, "TCP", false},
			{"another machine of the company", peer{}, peer{addr: "10.1.2.3"}, 443, "TCP", false},
			{"the same over IPv6", peer{}, peer{addr: "fd00::1"}, 443, "TCP", false},
			{"a pod", peer{}, peer{namespaceLabels: labelled, podLabels: client}, 443, "TCP", false},
			{"the store", peer{}, in("redis"), 6379, "TCP", store},
			{"another port of the store", peer{}, in("redis"), 22, "TCP", false},
			{"a store in another namespace", peer{}, in("shop"), 6379, "TCP", false},
		} {
			if got := res.allows(t, test.from, test.to, test.port, test.protocol); got != test.want {
				t.Errorf("%s: got allowed %v, want %v", test.name, got, test.want)
			}
		}
	})
}

// allows reports whether the policies allow the connection.
func (res resources) allows(t *testing.T, from, to peer, port int32, protocol corev1.Protocol) bool {
	t.Helper()
	container := brokerContainer(t, res.podTemplate(t).Spec)
	incoming := to.namespaceLabels == nil && to.addr == ""
	direction, other := networkingv1.PolicyTypeEgress, to
	if incoming {
		direction, other = networkingv1.PolicyTypeIngress, from
	}
	restricted := false
	for _, policy := range res.policies() {
		if !slices.Contains(policy.Spec.PolicyTypes, direction) {
			continue
		}
		restricted = true
		for _, rule := range policy.Spec.Ingress {
			if incoming && matchesPort(rule.Ports, container, port, protocol) && matchesPeer(t, rule.From, other) {
				return true
			}
		}
		for _, rule := range policy.Spec.Egress {
			if !incoming && matchesPort(rule.Ports, corev1.Container{}, port, protocol) && matchesPeer(t, rule.To, other) {
				return true
			}
		}
	}
	return !restricted
}

// matchesPort reports whether a rule with these ports applies to the port. An empty list matches every port. Port names are
// those of the container.
func matchesPort(list []networkingv1.NetworkPolicyPort, container corev1.Container, port int32, protocol corev1.Protocol) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(one networkingv1.NetworkPolicyPort) bool {
		sameProtocol := one.Protocol == nil && protocol == corev1.ProtocolTCP || one.Protocol != nil && *one.Protocol == protocol
		samePort := one.Port.Type == intstr.Int && one.Port.IntVal == port || one.Port.Type == intstr.String && containerPort(container, *one.Port) == port
		return sameProtocol && samePort
	})
}

// matchesPeer reports whether a rule with these peers applies to the peer. An empty list matches every peer.
func matchesPeer(t *testing.T, list []networkingv1.NetworkPolicyPeer, other peer) bool {
	t.Helper()
	return len(list) == 0 || slices.ContainsFunc(list, func(one networkingv1.NetworkPolicyPeer) bool {
		switch {
		case one.IPBlock != nil:
			return other.addr != "" && ipBlockContains(t, *one.IPBlock, netip.MustParseAddr(other.addr))
		case other.addr != "" || one.NamespaceSelector == nil: // nil: the broker's namespace, which has no peers
			return false
		default:
			return selects(t, one.NamespaceSelector, other.namespaceLabels) && (one.PodSelector == nil || selects(t, one.PodSelector, other.podLabels))
		}
	})
}

func ipBlockContains(t *testing.T, block networkingv1.IPBlock, address netip.Addr) bool {
	t.Helper()
	prefix := func(text string) netip.Prefix {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	return prefix(block.CIDR).Contains(address) && !slices.ContainsFunc(block.Except, func(text string) bool {
		if !prefix(block.CIDR).Contains(prefix(text).Addr()) {
			t.Errorf("the exception %s is not within %s", text, block.CIDR) // the API server would reject it
		}
		return prefix(text).Contains(address)
	})
}

// readmeAppPod returns the pod of an app that the README shows.
func readmeAppPod(t *testing.T) corev1.PodTemplateSpec {
	t.Helper()
	_, text, _ := strings.Cut(kubernetesReadme(t), "```yaml\n")
	text, rest, _ := strings.Cut(text, "```")
	var pod corev1.PodTemplateSpec
	if err := yaml.UnmarshalStrict([]byte(text), &pod); err != nil || strings.Contains(rest, "```yaml") || len(pod.Spec.Containers) != 1 {
		t.Fatalf("the README must contain exactly one pod, with one container (error: %v)", err)
	}
	return pod
}
