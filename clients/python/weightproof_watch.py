"""Lists the spaces of a Weightproof node and follows the rounds and verdicts of one."""

import argparse
import queue
import sys
import threading
from pathlib import Path

# What generate.sh wrote.
sys.path.insert(0, str(Path(__file__).resolve().parent / "build"))

import grpc  # noqa: E402
from weightproof.v1 import (  # noqa: E402
    contributions_pb2,
    contributions_pb2_grpc,
    rounds_pb2,
    rounds_pb2_grpc,
    spaces_pb2,
    spaces_pb2_grpc,
)

# The name in every certificate that a node makes, whatever its address is.
NODE_NAME = "weightproof.node"


def connect(address, certificate, domain=NODE_NAME):
    """A channel that trusts this certificate (PEM bytes) and no other."""
    credentials = grpc.ssl_channel_credentials(root_certificates=certificate)
    return grpc.secure_channel(address, credentials, (("grpc.ssl_target_name_override", domain),))


def describe_node(channel):
    return spaces_pb2_grpc.SpacesServiceStub(channel).DescribeNode(spaces_pb2.DescribeNodeRequest(), timeout=10)


def list_spaces(channel):
    return spaces_pb2_grpc.SpacesServiceStub(channel).ListSpaces(spaces_pb2.ListSpacesRequest(), timeout=10).spaces


def describe_space(channel, name):
    request = spaces_pb2.DescribeSpaceRequest(space=name)
    return spaces_pb2_grpc.SpacesServiceStub(channel).DescribeSpace(request, timeout=10)


class Watch:
    """Rounds and verdicts of a space as they come; iterate over it, and close it to end."""

    def __init__(self, channel, space):
        rounds = rounds_pb2_grpc.RoundsServiceStub(channel)
        contributions = contributions_pb2_grpc.ContributionsServiceStub(channel)
        self._events = queue.SimpleQueue()
        self._streams = {
            "round": rounds.WatchRounds(rounds_pb2.WatchRoundsRequest(space=space)),
            "verdicts": contributions.WatchVerdicts(contributions_pb2.WatchVerdictsRequest(space=space)),
        }
        for kind, stream in self._streams.items():
            threading.Thread(target=self._follow, args=(kind, stream), daemon=True).start()

    def _follow(self, kind, stream):
        try:
            for answer in stream:
                events = getattr(answer, kind)
                # A round comes alone, verdicts of a moment together.
                for event in [events] if kind == "round" else events:
                    self._events.put(event)
            self._events.put(EOFError(f"the stream of {kind} ended"))
        except grpc.RpcError as error:
            self._events.put(error)

    def next(self, timeout=None):
        """The next Round or Verdict; queue.Empty when none comes in time."""
        event = self._events.get(timeout=timeout)
        if isinstance(event, Exception):
            raise event
        return event

    def __iter__(self):
        while True:
            yield self.next()

    def close(self):
        for stream in self._streams.values():
            stream.cancel()


def line(event):
    """An event for people."""
    if isinstance(event, rounds_pb2.Round):
        state = "open" if event.open else "closed"
        return (
            f"round {event.number} {state}: model version {event.model_version}, "
            f"{event.contributions} contributions of {event.admitted} members"
        )
    outcome = f"accepted, reward {event.receipt.reward}" if event.accepted else f"refused: {event.code}"
    return f"contribution of {event.account.hex()[:16]} to round {event.round}: {outcome}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="HOST:PORT of the node")
    parser.add_argument("--certificate", required=True, type=Path, help="the node's certificate, PEM")
    parser.add_argument("--domain", default=NODE_NAME, help="the name in the certificate")
    parser.add_argument("--space", help="the space to follow; the first one when left out")
    arguments = parser.parse_args()
    with connect(arguments.address, arguments.certificate.read_bytes(), arguments.domain) as channel:
        spaces = list_spaces(channel)
        for space in spaces:
            print(f"{space.name}  {space.space.hex()}  version {space.model_version}  {space.members} members")
        if not spaces:
            return
        chosen = describe_space(channel, arguments.space or spaces[0].name)
        print(chosen.program_toml)
        for event in Watch(channel, chosen.summary.space):
            print(line(event), flush=True)


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"error: {error.code().name}: {error.details()}")
    except KeyboardInterrupt:
        pass
