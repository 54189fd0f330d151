"""The client against a node that runs: WEIGHTPROOF_ADDRESS, WEIGHTPROOF_CERTIFICATE (a PEM file), and
WEIGHTPROOF_CONTRIBUTE, a command after which one more contribution was accepted. test.sh sets them."""

import os
import shlex
import subprocess
import sys
import time
import unittest
from pathlib import Path

import grpc

import weightproof_watch as client
from weightproof.v1 import contributions_pb2, rounds_pb2

ADDRESS = os.environ["WEIGHTPROOF_ADDRESS"]
CERTIFICATE = Path(os.environ["WEIGHTPROOF_CERTIFICATE"]).read_bytes()
CONTRIBUTE = shlex.split(os.environ["WEIGHTPROOF_CONTRIBUTE"])


class Client(unittest.TestCase):
    def setUp(self):
        self.channel = client.connect(ADDRESS, CERTIFICATE)
        self.addCleanup(self.channel.close)

    def test_lists_and_describes_spaces(self):
        (summary,) = client.list_spaces(self.channel)
        self.assertEqual((summary.name, len(summary.space)), ("sample", 32))
        whole = client.describe_space(self.channel, "sample")
        self.assertEqual(whole.summary.space, summary.space)
        self.assertIn("layers = [30, 3, 2]", whole.program_toml)
        self.assertEqual(len(whole.program_digest), 32)
        self.assertIn("mean_radius", whole.schema_json)
        self.assertTrue(whole.policy.sigma)
        # An identity in hexadecimal is a name too.
        self.assertEqual(client.describe_space(self.channel, summary.space.hex()).summary, whole.summary)

    def test_refusals_have_a_code(self):
        with self.assertRaises(grpc.RpcError) as caught:
            client.describe_space(self.channel, "none")
        error = caught.exception
        code = dict(error.trailing_metadata())["weightproof-code"]
        self.assertRegex(code, r"^E\d\d\d$")
        self.assertTrue(error.details().startswith(code), error.details())

    def test_only_the_pinned_certificate_is_trusted(self):
        for certificate, domain in [(None, client.NODE_NAME), (CERTIFICATE, "another.node")]:
            with client.connect(ADDRESS, certificate, domain) as channel, self.assertRaises(grpc.RpcError) as caught:
                client.list_spaces(channel)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)

    def test_the_command_prints_spaces_and_the_round(self):
        command = [sys.executable, "-B", client.__file__, ADDRESS, "--certificate"]
        command.append(os.environ["WEIGHTPROOF_CERTIFICATE"])
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("round "):
                    break
            process.terminate()
        self.assertTrue(lines[0].startswith("sample  "), lines)
        self.assertIn("[optimizer]\n", lines)

    def test_watches_a_round(self):
        network = client.describe_node(self.channel).network
        (summary,) = client.list_spaces(self.channel)
        watch = client.Watch(self.channel, summary.space)
        self.addCleanup(watch.close)
        # The present round comes at once, and with it the certainty that the node knows of this watcher.
        present = watch.next(timeout=10)
        self.assertIsInstance(present, rounds_pb2.Round)
        self.assertEqual(present.space, summary.space)
        contributing = subprocess.Popen(CONTRIBUTE, stdout=subprocess.DEVNULL)
        self.addCleanup(contributing.wait)
        self.addCleanup(contributing.kill)
        verdict, newest = None, present
        end = time.monotonic() + 60
        while verdict is None or newest.model_version == present.model_version:
            event = watch.next(timeout=max(0.1, end - time.monotonic()))
            self.assertNotEqual(client.line(event), "")
            if isinstance(event, contributions_pb2.Verdict):
                verdict = event
            else:
                self.assertGreaterEqual((event.number, event.model_version), (newest.number, newest.model_version))
                newest = event
        self.assertTrue(verdict.accepted, verdict)
        self.assertEqual(verdict.space, summary.space)
        self.assertEqual((verdict.receipt.network, verdict.receipt.verdict), (network, 0))
        self.assertEqual(newest.model_version, present.model_version + 1)
        self.assertEqual(contributing.wait(timeout=60), 0)


if __name__ == "__main__":
    unittest.main()
