"""Driver of llama.cpp for `pith bench score --against llama-cpp`.

Reads one JSON request a line from standard input and writes one JSON reply a line to standard output: {"ok": ...} or
{"error": text}. Requests have an "op": hello, quantize, prepare, run, release.

Only the low-level interface of llama-cpp-python is used. The time of a run is that of llama_decode (or llama_encode) with
llama_synchronize; the log-probabilities are then computed in numpy, for the check, and timed apart.
"""

import json
import os
import sys
import time

# Replies go to the real standard output; whatever libraries print goes to standard error.
REPLIES = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


def reply(message):
    REPLIES.write(json.dumps(message) + "\n")
    REPLIES.flush()


try:
    import ctypes

    import llama_cpp as ll
    import numpy as np
except ImportError as missing:
    reply({"error": f"{sys.executable} cannot import {missing.name}: {missing}"})
    sys.exit(1)


@ll.llama_log_callback
def silent(_level, _text, _data):
    pass


MODELS = {}  # by path
STATES = {}  # keys and values of cached segments, by (path, flash attention, streams), then by tokens
WORK = {}  # prepared jobs by name


def model_at(path):
    if path not in MODELS:
        params = ll.llama_model_default_params()
        params.n_gpu_layers = 0
        model = ll.llama_model_load_from_file(path.encode(), params)
        if not model:
            raise RuntimeError(f"llama.cpp cannot load {path}")
        MODELS[path] = model
    return MODELS[path]


def round_up(n, to):
    return (n + to - 1) // to * to


class Context:
    """A llama_context and one batch."""

    def __init__(self, path, *, sequences, each, batch, threads, ubatch, flash, unified, embed=False):
        params = ll.llama_context_default_params()
        params.n_seq_max = sequences
        # Per stream, each sequence has n_ctx / n_seq_max cells, a multiple of 256; unified, all share them.
        params.n_ctx = round_up(sequences * each, 256) if unified else sequences * round_up(each, 256)
        params.n_batch = max(batch, sequences)  # which bounds the rows with logits, and there must be room for one a sequence
        params.n_ubatch = min(ubatch, batch)
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = ll.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else ll.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.kv_unified = unified
        params.offload_kqv = False
        params.op_offload = False
        params.no_perf = True
        params.embeddings = embed
        if embed:
            params.pooling_type = ll.LLAMA_POOLING_TYPE_MEAN
        model = model_at(path)
        self.vocab = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(model))
        self.width = ll.llama_model_n_embd(model)
        self.ctx = ll.llama_init_from_model(model, params)
        if not self.ctx:
            raise RuntimeError("llama.cpp cannot make a context with these settings")
        self.memory = None if embed else ll.llama_get_memory(self.ctx)
        self.batch = ll.llama_batch_init(batch, 0, 1)
        self.embed = embed

    def close(self):
        ll.llama_batch_free(self.batch)
        ll.llama_free(self.ctx)

    def fill(self, rows):
        """rows: (token, position, sequence, wanted)."""
        b = self.batch
        b.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            b.token[i] = token
            b.pos[i] = position
            b.n_seq_id[i] = 1
            b.seq_id[i][0] = sequence
            b.logits[i] = wanted

    def decode(self):
        """Runs the batch; returns seconds, wall and processor."""
        do = ll.llama_encode if self.embed else ll.llama_decode
        start, cpu = time.perf_counter(), time.process_time()
        status = do(self.ctx, self.batch)
        ll.llama_synchronize(self.ctx)
        took = time.perf_counter() - start, time.process_time() - cpu
        if status != 0:
            raise RuntimeError(f"llama.cpp fails to decode {self.batch.n_tokens} tokens with status {status}")
        return took

    def log_probs(self, targets):
        """Of one target for each wanted row of the batch, in its order."""
        logits = np.ctypeslib.as_array(ll.llama_get_logits(self.ctx), shape=(len(targets), self.vocab))
        out = np.empty(len(targets))
        for at in range(0, len(targets), 128):  # a few rows at a time, for the caches' sake
            rows = logits[at : at + 128]
            top = rows.max(axis=1)
            total = np.log(np.exp(rows - top[:, None]).sum(axis=1)) + top
            out[at : at + 128] = rows[np.arange(len(rows)), targets[at : at + 128]] - total
        return out


class Score:
    """Log-probabilities of sequences, each after a cached segment or after nothing, `group` sequences a llama_decode.

    With a unified KV cache every row attends over all cells of its context, so that each group has a context of its own;
    otherwise there is one context with a stream a sequence.
    """

    def __init__(self, job, settings):
        self.sequences, self.first = job["sequences"], job["from"]
        self.cached = job.get("cached") or []
        self.group = min(settings["group"], len(self.sequences))
        unified = settings["unified"]
        longest = max(len(s) for s in self.sequences)
        self.before = len(self.cached[0]) if self.cached else 0
        per_context = self.group if unified else len(self.sequences)
        common = {
            "each": longest + self.before,
            "threads": settings["threads"],
            "ubatch": settings["ubatch"],
            "flash": settings["flash"],
            "unified": unified,
        }
        self.contexts = []
        self.groups = []  # (context, sequences of one call)
        self.known = {}  # log-probability of a sequence's first token, which the cached segment's last row gives
        everything = list(range(len(self.sequences)))
        try:
            for at in range(0, len(everything), per_context):
                inside = everything[at : at + per_context]
                context = Context(job["model"], sequences=len(inside), batch=self.group * longest, **common)
                self.contexts.append(context)
                if self.cached:
                    streams = 1 if unified else len(inside)
                    states = segment_states(job["model"], self.cached, settings, streams)
                    for slot, i in enumerate(inside):
                        self.restore(context, slot, i, states[tuple(self.cached[i])])
                slots = {i: slot for slot, i in enumerate(inside)}
                for start in range(0, len(inside), self.group):
                    self.groups.append((context, [(i, slots[i]) for i in inside[start : start + self.group]]))
        except Exception:
            self.close()
            raise

    def restore(self, context, slot, i, known):
        state, last = known
        if ll.llama_state_seq_set_data(context.ctx, state, len(state), slot) == 0:
            raise RuntimeError("llama.cpp refuses the keys and values of a cached segment")
        row = last.astype(np.float64)
        top = row.max()
        self.known[i] = row[self.sequences[i][0]] - top - np.log(np.exp(row - top).sum())

    def close(self):
        for context in self.contexts:
            context.close()

    def run(self):
        wall = cpu = 0.0
        start = time.perf_counter()
        values = []
        for context, members in self.groups:
            if not self.before:
                ll.llama_memory_clear(context.memory, False)
            rows, targets = [], []
            for i, slot in members:
                tokens = self.sequences[i]
                wanted_from = max(self.first - 1, 0)  # row r gives token r+1
                for r, token in enumerate(tokens):
                    wanted = wanted_from <= r < len(tokens) - 1
                    rows.append((token, self.before + r, slot, wanted))
                    if wanted:
                        targets.append(tokens[r + 1])
                if self.before:
                    values.append([self.known[i]])
            context.fill(rows)
            took = context.decode()
            wall += took[0]
            cpu += took[1]
            values.append(context.log_probs(np.array(targets)))
        took = time.perf_counter() - start
        if self.before:  # the segments alone stay
            for context, members in self.groups:
                for _, slot in members:
                    ll.llama_memory_seq_rm(context.memory, slot, self.before, -1)
        return {
            "decode_seconds": wall,
            "cpu_seconds": cpu,
            "seconds": took,
            "log_prob": float(np.concatenate(values).mean()),
        }


def segment_states(path, segments, settings, streams):
    """Keys and values of each segment, as a context of so many streams takes them, and the logits of its last row."""
    key = (path, settings["flash"], streams)
    states = STATES.setdefault(key, {})
    missing = {tuple(s) for s in segments} - states.keys()
    if not missing:
        return states
    longest = max(len(s) for s in missing)
    context = Context(
        path,
        sequences=streams,
        each=longest,
        batch=longest,
        threads=settings["threads"],
        ubatch=512,
        flash=settings["flash"],
        unified=False,
    )
    for segment in missing:
        ll.llama_memory_clear(context.memory, False)
        context.fill([(t, i, 0, i == len(segment) - 1) for i, t in enumerate(segment)])
        context.decode()
        last = np.ctypeslib.as_array(ll.llama_get_logits(context.ctx), shape=(context.vocab,)).copy()
        size = ll.llama_state_seq_get_size(context.ctx, 0)
        state = (ctypes.c_uint8 * size)()
        if ll.llama_state_seq_get_data(context.ctx, state, size, 0) != size:
            raise RuntimeError("llama.cpp does not hand out the keys and values of a segment")
        states[segment] = state, last
    context.close()
    return states


class Embed:
    """Mean-pooled vectors of texts, given as tokens, `group` texts a llama_encode: all rows of a call attend to all."""

    def __init__(self, job, settings):
        self.sequences = job["sequences"]
        self.group = min(settings["group"], len(self.sequences))
        longest = max(len(s) for s in self.sequences)
        batch = self.group * longest
        self.context = Context(
            job["model"],
            sequences=self.group,
            each=longest,
            batch=batch,
            threads=settings["threads"],
            ubatch=batch,
            flash=settings["flash"],
            unified=settings["unified"],
            embed=True,
        )

    def close(self):
        self.context.close()

    def run(self):
        wall = cpu = 0.0
        vector = None
        start = time.perf_counter()
        for at in range(0, len(self.sequences), self.group):
            members = self.sequences[at : at + self.group]
            self.context.fill([(t, r, slot, True) for slot, tokens in enumerate(members) for r, t in enumerate(tokens)])
            took = self.context.decode()
            wall += took[0]
            cpu += took[1]
            if vector is None:
                values = ll.llama_get_embeddings_seq(self.context.ctx, 0)
                vector = np.array(values[: self.context.width], dtype=np.float64)
        took = time.perf_counter() - start
        vector /= np.linalg.norm(vector)
        return {"decode_seconds": wall, "cpu_seconds": cpu, "seconds": took, "vector": vector.tolist()}


def hello(_request):
    ll.llama_backend_init()
    ll.llama_log_set(silent, ctypes.c_void_p(0))
    info = ll.llama_print_system_info().decode().strip()
    return {"version": ll.__version__, "system": info, "python": sys.version.split()[0]}


def quantize(request):
    params = ll.llama_model_quantize_default_params()
    params.ftype = getattr(ll, "LLAMA_FTYPE_MOSTLY_" + request["type"])
    params.allow_requantize = True
    unfinished = request["target"] + ".part"
    if ll.llama_model_quantize(request["source"].encode(), unfinished.encode(), ctypes.byref(params)) != 0:
        raise RuntimeError(f"llama.cpp's quantiser fails to make {request['type']} of {request['source']}")
    os.replace(unfinished, request["target"])
    return {}


def prepare(request):
    release(request)
    kind = Embed if request["job"].get("embed") else Score
    WORK[request["name"]] = kind(request["job"], request["settings"])
    return {}


def run(request):
    return WORK[request["name"]].run()


def release(request):
    if request["name"] in WORK:
        WORK.pop(request["name"]).close()
    return {}


OPERATIONS = {"hello": hello, "quantize": quantize, "prepare": prepare, "run": run, "release": release}

for line in sys.stdin:
    try:
        asked = json.loads(line)
        reply({"ok": OPERATIONS[asked["op"]](asked)})
    except Exception as failure:  # the caller decides what a failure means
        reply({"error": f"{type(failure).__name__}: {failure}"})
