package e2e

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// TestKubernetesSelectors holds that whatever selects pods selects the broker's, and that ports lead where it listens.
func TestKubernetesSelectors(t *testing.T) {
	eachBase(t, func(t *testing.T, b base, c cluster) {
		template := c.template(t)
		broker := brokerOf(t, template.Spec)
		for _, deployment := range c.deployments {
			wantSelected(t, deployment.Spec.Selector, template.Labels)
			for _, constraint := range template.Spec.TopologySpreadConstraints {
				wantSelected(t, constraint.LabelSelector, template.Labels)
			}
		}
		for _, budget := range c.budgets {
			wantSelected(t, budget.Spec.Selector, template.Labels)
			if least := budget.Spec.MinAvailable.IntVal; least < 1 || least >= *c.deployments[0].Spec.Replicas {
				t.Errorf("the budget is %d of %d", least, *c.deployments[0].Spec.Replicas)
			}
		}
		for _, policy := range c.policies {
			wantSelected(t, &policy.Spec.PodSelector, template.Labels)
		}
		for _, service := range c.services {
			wantSelected(t, &metav1.LabelSelector{MatchLabels: service.Spec.Selector}, template.Labels)
			if port := portOf(broker, service.Spec.Ports[0].TargetPort); len(service.Spec.Ports) != 1 || port != 8080 {
				t.Errorf("the Service leads to %d", port)
			}
		}
		var declared []int32
		for _, port := range broker.Ports {
			declared = append(declared, port.ContainerPort)
		}
		open := openPorts(t, broker)
		if !slices.Equal(declared, open) {
			t.Errorf("ports %v are declared, and %v can be reached from outside the pod", declared, open)
		}
		if !b.central() && slices.Contains(open, 8080) {
			t.Error("other pods reach the listener of this pod's app")
		}
		if b.central() {
			strategy := c.deployments[0].Spec.Strategy.RollingUpdate
			if len(c.budgets) != 1 || len(c.services) != 1 || len(c.policies) == 0 || len(c.namespaces) != 1 || strategy.MaxUnavailable.IntVal != 0 {
				t.Error("something is missing")
			}
		}
	})
}

func wantSelected(t *testing.T, selector *metav1.LabelSelector, pod map[string]string) {
	t.Helper()
	if len(selector.MatchLabels) == 0 || !selects(t, selector, pod) {
		t.Errorf("%v does not select %v", selector, pod)
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

// portOf is the container's port that a name or number stands for; 0 if there is none.
func portOf(container corev1.Container, port intstr.IntOrString) int32 {
	for _, one := range container.Ports {
		if port.StrVal == one.Name || port.Type == intstr.Int && port.IntVal == one.ContainerPort {
			return one.ContainerPort
		}
	}
	return 0
}

// openPorts are those at which the broker listens beyond the pod.
func openPorts(t *testing.T, broker corev1.Container) []int32 {
	t.Helper()
	var open []int32
	for _, variable := range broker.Env {
		if variable.Name != "BROKER_LISTEN" && variable.Name != "BROKER_ADMIN_LISTEN" {
			continue
		}
		at, err := netip.ParseAddrPort(variable.Value)
		if err != nil {
			t.Fatal(err)
		}
		if !at.Addr().IsLoopback() {
			open = append(open, int32(at.Port()))
		}
	}
	return open
}

// peer is who talks with a broker: a pod, or an address outside of the cluster.
type peer struct {
	namespace, pod map[string]string
	address        string
}

// TestKubernetesNetworkPolicy asks the policies, in a few lines that read them as the API's reference says, who may talk with
// whom.
func TestKubernetesNetworkPolicy(t *testing.T) {
	client := readmePod(t).Labels
	labelled := map[string]string{"kubernetes.io/metadata.name": "shop", "etrusted-broker/client": "true"}
	if !strings.Contains(kubernetesReadme(t), "kubectl label namespace shop etrusted-broker/client=true") {
		t.Error("the README labels no namespace")
	}
	plain := map[string]string{"kubernetes.io/metadata.name": "shop"}
	in := func(namespace string) peer {
		return peer{namespace: map[string]string{"kubernetes.io/metadata.name": namespace}}
	}
	eachBase(t, func(t *testing.T, b base, c cluster) {
		if !b.central() {
			return
		}
		store := strings.Contains(b.name, "store") || strings.Contains(b.name, "both")
		for _, test := range []struct {
			what     string
			from, to peer // one of them is the broker
			port     int32
			protocol corev1.Protocol
			want     bool
		}{
			{"an app", peer{namespace: labelled, pod: client}, peer{}, 8080, "TCP", true},
			{"another pod of the app's namespace", peer{namespace: labelled}, peer{}, 8080, "TCP", false},
			{"a pod that labels itself", peer{namespace: plain, pod: client}, peer{}, 8080, "TCP", false},
			{"an app that looks at the metrics", peer{namespace: labelled, pod: client}, peer{}, 9464, "TCP", false},
			{"Prometheus", in("monitoring"), peer{}, 9464, "TCP", true},
			{"Prometheus at the app's port", in("monitoring"), peer{}, 8080, "TCP", false},
			{"the world", peer{address: "203.0.113.7"}, peer{}, 8080, "TCP", false},
			{"DNS", peer{}, in("kube-system"), 53, "UDP", true},
			{"DNS over TCP", peer{}, in("kube-system"), 53, "TCP", true},
			{"DNS of the node", peer{}, peer{address: "169.254.20.10"}, 53, "UDP", true},
			{"the API", peer{}, peer{address: "203.0.113.7"}, 443, "TCP", true},
			{"the API over IPv6", peer{}, peer{address: "2001:db8::7"}, 443, "TCP", true},
			{"plain HTTP", peer{}, peer{address: "203.0.113.7"}, 80, "TCP", false},
			{"the cloud's metadata", peer{}, peer{address: "169.254.169.254"}, 443, "TCP", false},
			{"another machine of the company's", peer{}, peer{address: "10.1.2.3"}, 443, "TCP", false},
			{"the same over IPv6", peer{}, peer{address: "fd00::1"}, 443, "TCP", false},
			{"a pod", peer{}, peer{namespace: labelled, pod: client}, 443, "TCP", false},
			{"the store", peer{}, in("redis"), 6379, "TCP", store},
			{"another port of the store", peer{}, in("redis"), 22, "TCP", false},
			{"another's store", peer{}, in("shop"), 6379, "TCP", false},
		} {
			if got := c.allows(t, test.from, test.to, test.port, test.protocol); got != test.want {
				t.Errorf("%s: allowed is %v, want %v", test.what, got, test.want)
			}
		}
	})
}

// allows reports whether any policy does. The peer that is empty is the broker.
func (c *cluster) allows(t *testing.T, from, to peer, port int32, protocol corev1.Protocol) bool {
	t.Helper()
	broker := brokerOf(t, c.template(t).Spec)
	incoming := to.namespace == nil && to.address == ""
	direction, other := networkingv1.PolicyTypeEgress, to
	if incoming {
		direction, other = networkingv1.PolicyTypeIngress, from
	}
	restricted := false
	for _, policy := range c.policies {
		if !slices.Contains(policy.Spec.PolicyTypes, direction) {
			continue
		}
		restricted = true
		for _, rule := range policy.Spec.Ingress {
			if incoming && portIn(rule.Ports, broker, port, protocol) && peerIn(t, rule.From, other) {
				return true
			}
		}
		for _, rule := range policy.Spec.Egress {
			if !incoming && portIn(rule.Ports, corev1.Container{}, port, protocol) && peerIn(t, rule.To, other) {
				return true
			}
		}
	}
	return !restricted
}

// portIn reports whether a port is in the list; every port is in an empty one. A name is one of the container's.
func portIn(list []networkingv1.NetworkPolicyPort, container corev1.Container, port int32, protocol corev1.Protocol) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(one networkingv1.NetworkPolicyPort) bool {
		sameProtocol := one.Protocol == nil && protocol == corev1.ProtocolTCP || one.Protocol != nil && *one.Protocol == protocol
		samePort := one.Port.Type == intstr.Int && one.Port.IntVal == port || one.Port.Type == intstr.String && portOf(container, *one.Port) == port
		return sameProtocol && samePort
	})
}

// peerIn reports whether a peer is in the list; every peer is in an empty one.
func peerIn(t *testing.T, list []networkingv1.NetworkPolicyPeer, other peer) bool {
	t.Helper()
	return len(list) == 0 || slices.ContainsFunc(list, func(one networkingv1.NetworkPolicyPeer) bool {
		switch {
		case one.IPBlock != nil:
			return other.address != "" && inBlock(t, *one.IPBlock, netip.MustParseAddr(other.address))
		case other.address != "" || one.NamespaceSelector == nil: // nil: the broker's own namespace, where none of the peers is
			return false
		default:
			return selects(t, one.NamespaceSelector, other.namespace) && (one.PodSelector == nil || selects(t, one.PodSelector, other.pod))
		}
	})
}

func inBlock(t *testing.T, block networkingv1.IPBlock, address netip.Addr) bool {
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
			t.Errorf("%s is not within %s", text, block.CIDR) // the API server would refuse it
		}
		return prefix(text).Contains(address)
	})
}

// readmePod is the pod of an app as the README shows it.
func readmePod(t *testing.T) corev1.PodTemplateSpec {
	t.Helper()
	_, text, _ := strings.Cut(kubernetesReadme(t), "```yaml\n")
	text, rest, _ := strings.Cut(text, "```")
	var pod corev1.PodTemplateSpec
	if err := yaml.UnmarshalStrict([]byte(text), &pod); err != nil || strings.Contains(rest, "```yaml") || len(pod.Spec.Containers) != 1 {
		t.Fatalf("the README has not one pod: %v", err)
	}
	return pod
}
