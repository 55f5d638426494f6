"""What gRPC itself costs in Python: a server that answers every request with the same bytes.

python benchmarks/serving_noop_server.py PORT FILE_WITH_THE_ANSWER
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc


def main() -> None:
    port, answer_file = sys.argv[1:]
    answer = Path(answer_file).read_bytes()
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1),
                                                         ("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(
        "tensorflow.serving.PredictionService",
        {"Predict": grpc.unary_unary_rpc_method_handler(lambda request, context: answer)})])
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
