"""What is asked of the nodes of a cluster, and when, without Ray; test_cluster_nodes.py has a real cluster."""

import pytest

from nasfuse.backends import cluster_nodes as module
from nasfuse.backends.cluster_nodes import ClusterNodes
from nasfuse.errors import NasfuseError


class Cluster:
    """The part of Ray that is used: nodes, their answers, placement groups and the clock."""

    def __init__(self):
        self.now = 0.0
        self.alive = []
        self.asked = []
        self.answers = {}
        self.groups = []

    def nodes(self):
        return [
            {"NodeID": name, "Alive": name in self.alive, "NodeManagerAddress": f"at {name}", "Resources": {"CPU": 1.0}}
            for name in (*self.alive, "dead")
        ]

    def ask(self, number):
        self.asked.append(number)
        return number

    def wait(self, answers, *, timeout, num_returns=1):
        if timeout > 0 and not all(answer in self.answers for answer in answers):
            self.now += timeout
        ready = [answer for answer in answers if answer in self.answers]
        return ready, [answer for answer in answers if answer not in ready]

    def placement_group(self, bundles, *, bundle_label_selector):
        self.groups.append((bundles, bundle_label_selector))
        return self.groups[-1]


@pytest.fixture
def cluster(monkeypatch):
    made = Cluster()
    monkeypatch.setattr(module.time, "monotonic", lambda: made.now)
    monkeypatch.setattr(module.ray, "nodes", made.nodes)
    monkeypatch.setattr(module.ray, "wait", made.wait)
    monkeypatch.setattr(module.ray, "get", made.answers.__getitem__)
    monkeypatch.setattr(module, "placement_group", made.placement_group)
    monkeypatch.setattr(module, "remove_placement_group", made.groups.remove)
    monkeypatch.setattr(ClusterNodes, "_ask", made.ask)
    return made


@pytest.fixture
def nodes(cluster):
    """Node a is fit and b is not."""
    cluster.alive = ["a", "b"]
    cluster.answers.update(a=None, b="it has no disk")
    made = ClusterNodes(None)
    made.wait()
    return made


def test_a_node_is_left_out_and_said_once(cluster, nodes):
    assert nodes.fit == [{"CPU": 1.0}]
    assert nodes.selector == {"ray.io/node-id": "!in(b)"}
    assert nodes.update() == ["node at b is left out: it has no disk"]
    cluster.now += 10
    assert nodes.update() == []
    assert cluster.asked == ["a", "b"] or cluster.asked == ["b", "a"], "once each, and never a dead one"


def test_a_node_that_joins_gets_no_trial_before_its_answer(cluster, nodes):
    cluster.alive.append("c")
    cluster.now += 10
    nodes.update()
    assert len(nodes.fit) == 1
    assert set(nodes.selector["ray.io/node-id"].removeprefix("!in(").removesuffix(")").split(",")) == {"b", "c"}
    cluster.answers["c"] = None
    cluster.now += 10
    nodes.update()
    assert len(nodes.fit) == 2
    assert nodes.selector == {"ray.io/node-id": "!in(b)"}


def test_a_node_that_dies_has_no_room_and_is_asked_anew_when_it_comes_back(cluster, nodes):
    cluster.alive.remove("a")
    assert len(nodes.fit) == 1
    nodes.look_again()
    nodes.update()
    assert nodes.fit == []
    cluster.alive.append("a")
    nodes.look_again()
    nodes.update()
    assert cluster.asked.count("a") == 2


def test_a_node_that_does_not_answer_is_left_out(cluster, nodes):
    cluster.alive.append("c")
    nodes.look_again()
    nodes.update()
    cluster.now += module._LONGEST_S
    assert nodes.update() == ["node at c is left out: it has not answered for 120 s"]


@pytest.mark.parametrize("answers", [{}, {"a": "it has no disk"}], ids=["silent", "unfit"])
def test_a_cluster_without_a_fit_node_is_refused(cluster, answers):
    cluster.alive = ["a"]
    cluster.answers.update(answers)
    with pytest.raises(NasfuseError, match="no node of the cluster can run trials; node at a is left out: it has"):
        ClusterNodes(None).wait()


def test_missing_room_is_asked_for_where_no_present_node_can_give_it(cluster, nodes):
    def wanted(*excluded):
        return ([{"CPU": 2}], [{"ray.io/node-id": f"!in({','.join(excluded)})"}])

    nodes.request(2, {"CPU": 2})
    assert cluster.groups == 2 * [wanted(*nodes._nodes)]
    nodes.request(2, {"CPU": 2})
    assert len(cluster.groups) == 2, "once"
    cluster.alive.append("c")
    nodes.look_again()
    nodes.update()
    nodes.request(1, {"CPU": 2})
    assert cluster.groups == [wanted(*nodes._nodes)]
    assert "c" in nodes._nodes
    nodes.request(0, {"CPU": 2})
    assert cluster.groups == []
