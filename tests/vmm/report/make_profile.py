#!/usr/bin/env python3
"""Makes a rich profile as docs/statistics.md describes it: a Debian boot that never was.

make_profile.py [--seed N] [--scale X] [--slow X] [--no-stacks] [OUT.json]

The same seed gives the same file. --scale multiplies the counts, --slow the times.
"""
import argparse
import json
import math
import random

# symbol, pc, class, device, register, isv, exits at a boot, median ns, spread, text, vCPUs
ROWS = [
    ("pl011_console_putchar+0x48", 0xFFFF800008743A48, "DABT_LOW", "pl011", "UARTFR", 1, 9412, 61, .28,
     "ldr w0, [x0, #0x18]", 0xB9401800, (0, 1)),
    ("pl011_console_putchar+0x64", 0xFFFF800008743A64, "DABT_LOW", "pl011", "UARTDR", 1, 4706, 118, .5,
     "str w19, [x1]", 0xB9000033, (0, 1)),
    ("pl011_console_write+0xa0", 0xFFFF800008743BA0, "DABT_LOW", "pl011", "UARTCR", 1, 212, 74, .3,
     "ldr w0, [x19, #0x30]", 0xB9403260, (0,)),
    ("gic_handle_irq+0x38", 0xFFFF800008010238, "SYS64", "gicc", "ICC_IAR1_EL1", None, 2604, 88, .35,
     "mrs x0, icc_iar1_el1", 0xD538CC00, (0, 1)),
    ("gic_eoimode1_eoi_irq+0x2c", 0xFFFF8000080105AC, "SYS64", "gicc", "ICC_DIR_EL1", None, 61, 92, .3,
     "msr icc_dir_el1, x0", 0xD518CB20, (0, 1)),
    ("gic_eoi_irq+0x1c", 0xFFFF80000801051C, "SYS64", "gicc", "ICC_EOIR1_EL1", None, 2540, 96, .45,
     "msr icc_eoir1_el1, x0", 0xD518CC20, (0, 1)),
    ("gic_ipi_send_mask+0x110", 0xFFFF8000080107F0, "SYS64", "gicc", "ICC_SGI1R_EL1", None, 811, 420, .6,
     "msr icc_sgi1r_el1, x3", 0xD518CBA3, (0, 1)),
    ("arch_timer_set_next_event_virt+0x24", 0xFFFF800008A61C24, "SYS64", "timer", "CNTV_CVAL_EL0", None,
     3120, 460, .8, "msr cntv_cval_el0, x0", 0xD51BE340, (0, 1)),
    ("arch_timer_handler_virt+0x18", 0xFFFF800008A61918, "SYS64", "timer", "CNTV_CTL_EL0", None, 2210, 130, .5,
     "mrs x0, cntv_ctl_el0", 0xD53BE320, (0, 1)),
    ("arch_timer_handler_virt+0x30", 0xFFFF800008A61930, "SYS64", "timer", "CNTV_CTL_EL0", None, 2208, 510, .9,
     "msr cntv_ctl_el0, x0", 0xD51BE320, (0, 1)),
    ("virtio_mmio:vm_interrupt+0x40", 0xFFFF800000B42040, "DABT_LOW", "virtio0", "InterruptStatus", 1, 640, 83,
     .4, "ldr w0, [x0, #0x60]", 0xB9406000, (0,)),
    ("virtio_mmio:vm_interrupt+0x58", 0xFFFF800000B42058, "DABT_LOW", "virtio0", "InterruptACK", 1, 638, 97,
     .4, "str w2, [x1, #0x64]", 0xB9006422, (0,)),
    ("virtio_mmio:vm_notify+0x14", 0xFFFF800000B42414, "DABT_LOW", "virtio0", "QueueNotify", 1, 702, 1900, .7,
     "str w1, [x0, #0x50]", 0xB9005001, (0, 1)),
    ("virtio_mmio:vm_get+0x7c", 0xFFFF800000B4227C, "DABT_LOW", "virtio0", "+0x100", 1, 96, 120, .4,
     "ldrb w0, [x1]", 0x39400020, (0,)),
    ("gic_irq_domain_map+0x210", 0xFFFF800008011A10, "DABT_LOW", "gicd", "GICD_ISENABLER", 1, 320, 105, .4,
     "str w1, [x2]", 0xB9000041, (0,)),
    ("gic_dist_config+0x90", 0xFFFF800008012090, "DABT_LOW", "gicd", "GICD_IPRIORITYR", 1, 1020, 99, .3,
     "str w3, [x0, #0x400]", 0xB9040003, (0,)),
    ("gic_dist_init+0x1bc", 0xFFFF800009D011BC, "DABT_LOW", "gicd", "GICD_IROUTER", 0, 988, 143, .5,
     "str x1, [x0], #8", 0xF8008401, (0,)),
    ("gic_do_wait_for_rwp+0x28", 0xFFFF800008010028, "DABT_LOW", "gicr", "GICR_CTLR", 1, 310, 80, .3,
     "ldr w0, [x19]", 0xB9400260, (0, 1)),
    ("gic_cpu_init+0x6c", 0xFFFF80000801186C, "DABT_LOW", "gicr", "GICR_WAKER", 1, 14, 90, .3,
     "ldr w1, [x0, #0x14]", 0xB9401401, (0, 1)),
    ("memcpy_fromio+0x50", 0xFFFF800008E20150, "DABT_LOW", "pflash", "array", 0, 512, 310, .5,
     "ldp x3, x4, [x1], #0x10", 0xA8C11023, (0,)),
    ("cpu_do_idle+0x8", 0xFFFF800008C1E008, "WFx", "", "WFI", None, 1988, 240, .6, "wfi", 0xD503207F, (0, 1)),
    ("__invoke_psci_fn_hvc+0x24", 0xFFFF800008A4A024, "HVC64", "psci", "CPU_ON", None, 1, 41000, .1,
     "hvc #0", 0xD4000002, (0,)),
    ("__arm_smccc_hvc+0x4", 0xFFFF80000801F204, "HVC64", "psci", "SMCCC_VERSION", None, 28, 46, .3,
     "hvc #0", 0xD4000002, (0, 1)),
    ("pl031_read_time+0x18", 0xFFFF800008A01218, "DABT_LOW", "pl031", "RTCDR", 1, 3, 95, .2,
     "ldr w0, [x0]", 0xB9400000, (0,)),
    ("", 0x0000FFFF9A2C1F40, "SYS64", "timer", "CNTVCT_EL0", None, 340, 52, .2, "", 0, (0, 1)),
]
PATHS = {
    "pl011": ["ret_from_fork", "kernel_init", "do_one_initcall", "printk_init", "vprintk_emit",
              "console_unlock", "pl011_console_write"],
    "gicc": ["el1h_64_irq", "el1_interrupt", "do_interrupt_handler"],
    "timer": ["el1h_64_irq", "el1_interrupt", "do_interrupt_handler", "handle_percpu_devid_irq",
              "hrtimer_interrupt", "tick_program_event"],
    "virtio0": ["ret_from_fork", "kthread", "worker_thread", "process_one_work", "blk_mq_run_work_fn",
                "__blk_mq_run_hw_queue", "virtio_blk:virtio_queue_rq"],
    "gicd": ["start_kernel", "init_IRQ", "irqchip_init", "gic_of_init"],
    "gicr": ["start_kernel", "init_IRQ", "irqchip_init", "gic_of_init"],
    "pflash": ["ret_from_fork", "kernel_init", "do_one_initcall", "physmap_flash_probe"],
    "": ["secondary_start_kernel", "cpu_startup_entry", "do_idle", "default_idle_call"],
    "psci": ["ret_from_fork", "kernel_init", "smp_init", "bringup_nonboot_cpus", "psci_cpu_on"],
    "pl031": ["ret_from_fork", "kernel_init", "rtc_hctosys"],
}


def bucket(ns):
    """Log-linear, 32 an octave."""
    if ns < 32:
        return (int(ns), int(ns) + 1)
    width = 2 ** (int(math.log2(ns)) - 5)
    low = ns // width * width
    return (low, low + width)


def distribution(times):
    times = sorted(times)
    buckets = {}
    for ns in times:
        b = bucket(ns)
        buckets[b] = buckets.get(b, 0) + 1
    at = lambda q: times[max(1, math.ceil(q * len(times))) - 1] if times else 0
    total = sum(times)
    return {"count": len(times), "sum": total, "min": at(0), "max": at(1),
            "mean": total / len(times) if times else 0, "p50": at(.5), "p90": at(.9), "p99": at(.99),
            "p999": at(.999), "buckets": [[low, high, n] for (low, high), n in sorted(buckets.items())]}


def times_of(rng, n, median, spread, slow):
    """Log-normal with a thin tail of wake-ups, whole nanoseconds."""
    return [round(slow * rng.lognormvariate(math.log(median), spread) *
                  (rng.uniform(8, 60) if rng.random() < .012 else 1), 1) for _ in range(n)]


def phases(rng, device, n, slices):
    """When a device's exits happen: the GIC at the start, the console all the time, disk late."""
    centre, width = {"gicd": (.06, .02), "gicr": (.08, .03), "pflash": (.3, .05), "virtio0": (.7, .12),
                     "psci": (.15, .03), "pl011": (.4, .3), "": (.8, .15)}.get(device, (.6, .3))
    counts = [0] * slices
    for _ in range(n):
        at = rng.gauss(centre, width)
        while not 0 <= at < 1:
            at = rng.gauss(centre, width) if device else rng.random()
        counts[int(at * slices)] += 1
    return counts


def nested_ledger():
    """exits, NV and NV2 traps an exit, instructions an exit."""
    rows = {"hypercall": (10000, 112, 18, 3400), "mmio_isv0": (10000, 167, 24, 18900), "ipi": (0, 0, 0, 0),
            "foreign": (0, 4200, 610, 91000)}
    ledger = {}
    for name, (exits, nv, nv2, insns) in rows.items():
        n = exits or 1
        traps = [{"name": "SPSR_EL2", "access": "read", "nv": n * (nv - nv2), "nv2": 0},
                 {"name": "ERET", "access": "", "nv": n * nv2, "nv2": n * nv2}] if nv else []
        ledger[name] = {"exits": exits, "moved": 3 if name == "mmio_isv0" else 0, "stays_at_el2": n, "traps_nv": n * nv,
                        "traps_nv2": n * nv2, "erets": n, "tlbis": 0, "ats": 0, "instructions": n * insns,
                        "traps": traps}
    return ledger


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--slow", type=float, default=1)
    parser.add_argument("--no-stacks", action="store_true")
    parser.add_argument("out", nargs="?", default="-")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    slices, duration, every = 160, 1.62e9, 4
    rows, series, stacks = [], {}, []
    exit_ns, idle_ns = [0.0, 0.0], [0.0, 0.0]
    for symbol, pc, cls, device, register, isv, count, median, spread, text, word, vcpus in ROWS:
        key = (cls, device, register)
        for vcpu in vcpus:
            n = max(1, round(args.scale * count * (1 if len(vcpus) == 1 else (.7, .3)[vcpu])))
            timed = times_of(rng, max(1, n // every), median, spread, args.slow)
            row = {"vcpu": vcpu, "pc": f"0x{pc:016x}", "class": cls, "device": device, "register": register,
                   "count": n, "time_ns": distribution(timed)}
            total = row["time_ns"]["sum"]
            exit_ns[vcpu] += total / len(timed) * n
            if isv is not None:
                row["isv"] = isv
            if cls == "DABT_LOW":
                shares = {"emulate": .55} if isv else {"translate": .12, "fetch": .05, "decode": .08,
                                                       "lookup": .15, "emulate": .42}
            elif cls == "SYS64":
                shares = {"emulate": .5, "arm_timer": .3} if device == "timer" else {"emulate": .6, "wake": .2}
            else:
                shares = {"emulate": .7}
            row["stages_ns"] = {name: total * share for name, share in shares.items()}
            row["sleep_ns"] = round(n * 310e3 * (1.4 if vcpu else .5)) if cls == "WFx" else 0
            idle_ns[vcpu] += row["sleep_ns"]
            if text:
                row["word"], row["text"] = f"0x{word:08x}", text
            if symbol:
                row["symbol"] = symbol
            rows.append(row)
            counts = phases(rng, device, n, slices)
            series[key] = [a + b for a, b in zip(series.get(key, [0] * slices), counts)]
            sampled = n // 16
            if sampled:
                frames = PATHS.get(device, []) + ([symbol] if symbol else [f"0x{pc:x}"])
                stacks.append({"frames": frames, "class": cls, "device": device, "register": register,
                               "count": sampled, "time_ns": sampled * total / len(timed)})
    rows.append({"vcpu": 0, "class": "DABT_LOW", "device": "", "register": "", "other": True, "count": 17,
                 "time_ns": distribution(times_of(rng, 5, 100, .3, args.slow)), "stages_ns": {}, "sleep_ns": 0})
    latency = lambda n, median: distribution(times_of(rng, n, median, .6, args.slow))
    profile = {
        "duration_ns": duration, "timed_every": every, "rows": rows,
        "vcpus": [{"vcpu": v, "guest_ns": max(0, duration - exit_ns[v] - idle_ns[v]), "exit_ns": exit_ns[v],
                   "idle_ns": idle_ns[v]} for v in (0, 1)],
        "timeline": {"slice_ns": duration / slices,
                     "series": [{"class": c, "device": d, "register": r, "counts": counts}
                                for (c, d, r), counts in series.items()]},
        "stacks": [] if args.no_stacks else stacks,
        "latencies": {"irq_to_iar": latency(2600, 900), "kick_to_exit": latency(810, 2600)},
        "icache": {"hits": 1388, "misses": 41, "invalidations": 12, "mismatches": 0},
        "notes": ["17 exits found no row of their own (class and counts are exact)"],
    }
    document = {"schema": 2, "backend": "soft", "clock": "host", "exits": {"total": 0}, "profile": profile,
                "nested_ledger": nested_ledger()}
    text = json.dumps(document, indent=1) + "\n"
    if args.out == "-":
        print(text, end="")
    else:
        with open(args.out, "w", encoding="utf-8") as out:
            out.write(text)


main()
