#!/usr/bin/env python3
"""Compiles the device kernels and holds what they cost against budgets: registers, spills, shared memory, instructions
for a weight.

budget.py NVCC SOURCE_FOLDER BUILD_FOLDER

Instructions are counted in the machine code, 16 bytes each, padding aside. For an inner loop, budget.cu has two
functions that do it N and 2 N times without a loop; their difference is N times what it costs. The design's limits on
the rate of a kernel rest on these numbers, so a kernel that got slower fails here without a device.
Counts are those of CUDA 13.0; budgets leave 5 % for other versions.
"""
import pathlib
import re
import struct
import subprocess
import sys

ARCHITECTURES = ("sm_90", "sm_89", "sm_80")  # the first is counted
NO_OPERATION, OPCODE_MASK = 0x118, 0x1FF
SKIPPED = 2  # for ctest

# Kernel -> registers that a thread may have. None spills; shared memory is asked for at launch, and tests hold its size
# (part_bytes, fit_shared).
REGISTERS = {"inputs_kernel": 64, "gemv_kernel": 64, "tuple_kernel": 64, "decode_tuple_kernel": 64, "decode_dense_kernel": 64,
             "dense_extras_kernel": 64, "tuple_extras_kernel": 64,
             "tokens_kernel": 128, "tokens_kernel 4": 208}

# Probe -> instructions for a weight of a lane. tokens: 16 tokens. tuple: k, states or not.
INSTRUCTIONS = {
    "gemv_probe 2": 0.99, "gemv_probe 3": 1.36, "gemv_probe 4": 1.03, "gemv_probe 8": 0.80,
    "tokens_probe 2 2": 0.94, "tokens_probe 3 2": 1.51, "tokens_probe 4 2": 1.10, "tokens_probe 8 2": 0.84,
    "tuple_probe 1 0": 10.5, "tuple_probe 2 0": 5.25, "tuple_probe 3 0": 3.5,
    "tuple_probe 1 1": 12.8, "tuple_probe 2 1": 6.4, "tuple_probe 3 1": 4.2,
}
TILE_WEIGHTS, GROUP_TUPLES = 64, 3


def readable(symbol):
    """Name and template arguments of a mangled function: gemv_kernel 4."""
    match = re.match(r"_ZN9nearplane4cuda\d+([a-z_]+?)(?:I((?:L[ib]\d+E)+)E|E)", symbol)
    return " ".join([match[1], *re.findall(r"L[ib](\d+)E", match[2] or "")])


def count_instructions(cubin):
    """Function -> instructions, from the text sections of a 64-bit ELF file."""
    table, = struct.unpack_from("<Q", cubin, 0x28)
    size, count, names = struct.unpack_from("<HHH", cubin, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", cubin, table + i * size) for i in range(count)]
    counts = {}
    for name, _, _, _, offset, length in sections:
        start = sections[names][4] + name
        symbol = cubin[start:cubin.index(b"\0", start)].decode()
        if not symbol.startswith(".text."):
            continue
        opcodes = (struct.unpack_from("<H", cubin, offset + at)[0] & OPCODE_MASK for at in range(0, length, 16))
        counts[readable(symbol.removeprefix(".text."))] = sum(code != NO_OPERATION for code in opcodes)
    return counts


def read_report(text):
    """Function -> (registers, bytes spilled, bytes of fixed shared memory), from what ptxas -v prints."""
    found = re.findall(r"entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) reg(.*?)\n",
                       text, re.S)
    shared = [re.search(r"(\d+) bytes smem", rest) for *_, rest in found]
    return {readable(symbol): (int(registers), int(stores) + int(loads), int(match[1]) if match else 0)
            for (symbol, stores, loads, registers, _), match in zip(found, shared)}


def per_weight(counts):
    """Probe -> instructions for a weight."""
    costs = {}
    for name, count in counts.items():
        *kind, times = name.split(" ")
        half = " ".join([*kind, str(int(times) // 2)]) if kind and kind[0].endswith("_probe") else None
        if half in counts:
            weights = GROUP_TUPLES * int(kind[1]) if kind[0] == "tuple_probe" else TILE_WEIGHTS
            costs[" ".join(kind)] = (count - counts[half]) / (int(times) // 2 * weights)
    return costs


def register_budget(name):
    kind, *arguments = name.split(" ")
    return REGISTERS.get(f"{kind} {arguments[-1]}" if arguments else kind, REGISTERS.get(kind))


def budgeted(reports):
    """(architecture, kernel, registers, spilled, shared) of every kernel that has a budget."""
    return [(architecture, name, *numbers) for architecture, report in reports.items()
            for name, numbers in sorted(report.items()) if register_budget(name) is not None]


def exceeded(reports, costs, share=1.0):
    """What is over `share` of its budget, as lines of text."""
    lines = []
    for architecture, name, registers, spilled, shared in budgeted(reports):
        budget = share * register_budget(name)
        if registers > budget or spilled > 0 or shared > 0:
            lines.append(f"{architecture}, {name}: {registers} registers, {spilled} bytes spilled, {shared} bytes of fixed "
                         f"shared memory; budget {budget:g}, 0, 0")
    for name, budget in INSTRUCTIONS.items():
        if costs[name] > share * budget:
            lines.append(f"{name}: {costs[name]:.2f} instructions for a weight; budget {share * budget:.2f}")
    return lines


def compile_all(nvcc, source, build):
    """Reports of all architectures, and the code of the first."""
    command = [nvcc, "-std=c++20", "-fmad=false", "-cubin", "-Xptxas", "-v", f"-I{source}", f"-I{source}/../include",
               f"{source}/kernel/cuda/budget.cu"]
    running = [subprocess.Popen([*command, f"-arch={name}", "-o", build / f"budget.{name}.cubin"],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for name in ARCHITECTURES]
    reports = {}
    for name, process in zip(ARCHITECTURES, running):
        text = process.communicate()[0]
        if process.returncode != 0:
            sys.exit(f"{name}: nvcc failed\n{text[:4000]}")
        reports[name] = read_report(text)
    return reports, (build / f"budget.{ARCHITECTURES[0]}.cubin").read_bytes()


def main():
    nvcc, source, build = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    if int(re.search(r"release (\d+)", version)[1]) < 12:
        print(f"skipped: {nvcc} is older than CUDA 12, which C++20 needs")
        sys.exit(SKIPPED)
    reports, cubin = compile_all(nvcc, source, build)
    costs = per_weight(count_instructions(cubin))
    for name, cost in sorted(costs.items()):
        print(f"{name:20}{cost:8.2f} instructions for a weight, budget {INSTRUCTIONS[name]:.2f}")
    for architecture, name, registers, spilled, _ in budgeted(reports):
        print(f"{architecture} {name:24}{registers:8} registers, budget {register_budget(name)}, {spilled} bytes spilled")
    # The check itself: everything that has a budget must be over a quarter of it.
    if len(exceeded(reports, costs, 0.25)) != len(INSTRUCTIONS) + len(budgeted(reports)):
        sys.exit("a quarter of the budgets is not exceeded by everything: the check does not see what it should")
    if lines := exceeded(reports, costs):
        sys.exit("over budget:\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
