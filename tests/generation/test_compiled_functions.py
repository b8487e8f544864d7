"""Functions that a compiler reads (numba, TorchScript, Triton and others) are left as they are; those around them not."""

import dataclasses

import pytest

from qflow_dagster.generation.generators import generators
from qflow_dagster.generation.generators.protocol import Proposal
from tests.generation.conftest import request

BODY = "    return f'text'\n"
COMPILED = [
    "import numba\n\n@numba.njit\ndef f(x):\n",
    "import numba as nb\n\n@nb.jit(nopython=True)\ndef f(x):\n",
    "from numba import vectorize, float64\n\n@vectorize([float64(float64)])\ndef f(x):\n",
    "from numba.cuda import jit as kernel\n\n@kernel\ndef f(x):\n",
    "from .accelerate import maybe_njit\n\n@maybe_njit\ndef f(x):\n",
    "import numba\nfast = numba.njit(cache=True)\n\n@fast\ndef f(x):\n",
    "import numba\n\ndef accelerated(g):\n    return numba.njit(g)\n\n@accelerated\ndef f(x):\n",
    "import functools, jax\n\n@functools.partial(jax.jit, static_argnums=0)\ndef f(x):\n",
    "import triton\n\n@triton.autotune(configs=[], key=[])\n@triton.jit\ndef f(x):\n",
    "import taichi as ti\n\n@ti.kernel\ndef f(x: ti.i32):\n",
    "import torch\n\n@torch.jit.script\ndef f(x):\n",
    "import torch\n\n@torch.compile(dynamic=True)\ndef f(x):\n",
    "import tensorflow as tf\n\n@tf.function\ndef f(x):\n",
    "# cython: language_level=3\ndef f(x):\n",
    "import cython\n\ndef f(x):\n",
    "# pythran export f(int)\ndef f(x):\n",
]
GIVEN = [
    "import numba\n\ndef f(x):\n{}\ng = numba.njit(f)\n",
    "import numba\n\ndef f(x):\n{}\nnumba.jit_module(nopython=True)\n",
    "import torch\n\ndef f(x):\n{}\ntorch.jit.script(f)\n",
]
CLASSES = [
    "import torch\n\nclass Net(torch.nn.Module):\n    def f(self, x):\n    {}\nnet = Net()\ntorch.jit.script(net)\n",
    "from numba.experimental import jitclass\n\n@jitclass\nclass Net:\n    def f(self, x):\n    {}\n",
    "import torch\n\nclass Net:\n    def f(self, x):\n    {}\n    def g(self):\n        return torch.jit.script(self.f)\n",
]
PLAIN = [
    "import numpy as np\n\n@np.vectorize\ndef f(x):\n",
    "import functools\n\n@functools.cache\ndef f(digit, jitter):\n",
    "import numba\n\n@numba.njit\ndef g(x):\n    return x\n\ndef f(x):\n",
    "import torch\n\nclass Net(torch.nn.Module):\n    @torch.no_grad()\n    def f(self, x):\n    ",
]


def _proposed(rule: str, code: str, generator: str) -> Proposal:
    everywhere = dataclasses.replace(request(rule, code), findings=())
    [proposal] = generators()[generator].generate(everywhere)
    return proposal


def _fixed(code: str) -> Proposal:
    return _proposed("python/f-string-without-placeholders", code, "ruff-fix")


@pytest.mark.parametrize(
    "code", [*(head + BODY for head in COMPILED), *(text.format(BODY) for text in GIVEN + CLASSES)]
)
def test_a_function_that_a_compiler_reads_is_left_as_it_is(code: str) -> None:
    proposal = _fixed(code)
    assert proposal.contents == {}
    [withheld] = proposal.withheld
    assert "compiles the code here" in withheld.reason


@pytest.mark.parametrize("head", PLAIN)
def test_a_function_that_no_compiler_reads_is_changed(head: str) -> None:
    assert _fixed(head + BODY).contents == {"a.py": head + BODY.replace("f'", "'")}


@pytest.mark.parametrize("decorator", ["", "@numba.njit\n"])
def test_nothing_is_extracted_from_a_function_that_a_compiler_reads(decorator: str) -> None:
    branches = "".join(
        f"    if x > {n}:\n        for y in range(x):\n            if y:\n                x += 1\n"
        for n in range(9)
    )
    code = f"import numba\n\n\n{decorator}def f(x):\n{branches}    return x\n"
    proposal = _proposed("maintainability/very-complex-function", code, "extract-function")
    assert bool(proposal.contents) is not bool(decorator)
    assert [found.reason.split()[0] for found in proposal.withheld] == ["`numba.njit`"] * bool(decorator)
