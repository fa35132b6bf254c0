"""TBPTT(k1, k2) over streams of tokens, in plain NumPy float64: the oracle of the compiled training step.

Williams & Peng (1990), "An efficient gradient-based algorithm for on-line training of recurrent network
trajectories", Neural Computation 2(4): every k1 steps the losses of the last k1 steps are propagated back
through the last k2 >= k1 steps (through fewer right after a reset). What the steps before the window left
behind (states, gates, the layers' inputs, the embedded tokens) stays as it was computed, with the weights of
its time; the products of the backward pass use the weights of today.
"""

import numpy as np

from . import stack

RNN = "rnn."


def cross_entropy(logits, targets):
    """Mean over all rows of -log softmax(logits)[target], and its gradient."""
    rows = np.arange(len(targets))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -np.mean(log_p[rows, targets])
    dlogits = np.exp(log_p)
    dlogits[rows, targets] -= 1
    return loss, dlogits / len(targets)


class SGD:
    def __init__(self, momentum=0.0, weight_decay=0.0):
        self.momentum, self.weight_decay = momentum, weight_decay
        self.buffer = {}

    def step(self, theta, grad, learning_rate):
        for name in theta:
            g = grad[name] + self.weight_decay * theta[name]
            self.buffer[name] = self.momentum * self.buffer.get(name, 0) + g
            theta[name] = theta[name] - learning_rate * self.buffer[name]


class RMSprop:
    def __init__(self, alpha=0.99, eps=1e-8, momentum=0.0, weight_decay=0.0):
        self.alpha, self.eps, self.momentum, self.weight_decay = alpha, eps, momentum, weight_decay
        self.square, self.buffer = {}, {}

    def step(self, theta, grad, learning_rate):
        for name in theta:
            g = grad[name] + self.weight_decay * theta[name]
            self.square[name] = self.alpha * self.square.get(name, 0) + (1 - self.alpha) * g**2
            scaled = g / (np.sqrt(self.square[name]) + self.eps)
            self.buffer[name] = self.momentum * self.buffer.get(name, 0) + scaled
            theta[name] = theta[name] - learning_rate * self.buffer[name]


class Adam:
    decoupled = False

    def __init__(self, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
        self.beta1, self.beta2, self.eps, self.weight_decay = beta1, beta2, eps, weight_decay
        self.mean, self.square, self.count = {}, {}, 0

    def step(self, theta, grad, learning_rate):
        self.count += 1
        for name in theta:
            g = grad[name]
            if self.decoupled:
                theta[name] = theta[name] * (1 - learning_rate * self.weight_decay)
            else:
                g = g + self.weight_decay * theta[name]
            self.mean[name] = self.beta1 * self.mean.get(name, 0) + (1 - self.beta1) * g
            self.square[name] = self.beta2 * self.square.get(name, 0) + (1 - self.beta2) * g**2
            mean = self.mean[name] / (1 - self.beta1**self.count)
            square = self.square[name] / (1 - self.beta2**self.count)
            theta[name] = theta[name] - learning_rate * mean / (np.sqrt(square) + self.eps)


class AdamW(Adam):
    decoupled = True


class Training:
    """A model (parameters named as in `bptt.SequenceModel`), its carried state and its tape.

    `cell` is a row of `reference.REFERENCES`, `tokens` (streams, N+1): a step predicts the next token.
    """

    def __init__(self, cell, parameters, k1, k2, optimizer, clip_norm=None, clip_value=None):
        self.cell, self.k1, self.k2, self.optimizer = cell, k1, k2, optimizer
        self.theta = {name: np.array(value, dtype=np.float64) for name, value in parameters.items()}
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.reset()

    def reset(self):
        """Forget the carried state and all steps before."""
        self.state, self.seen, self.traces = None, [], None

    def window(self, tokens, first, learning_rate):
        """Learn from steps first..first+k1 of every stream; returns the loss and the norm before clipping."""
        theta, cell = self.theta, self.cell
        rnn = {name.removeprefix(RNN): value for name, value in theta.items() if name.startswith(RNN)}
        num_layers = sum(name.startswith("weight_hh") for name in rnn)
        streams, hidden_size = len(tokens), rnn["weight_hh_l0"].shape[1]
        if self.state is None:
            self.state = (np.zeros((num_layers, streams, hidden_size)),) * cell.states
            self.traces = [[] for _ in range(num_layers)]

        # Forward through the k1 new steps with the weights of today.
        new = [tokens[:, first + t].copy() for t in range(self.k1)]
        targets = np.concatenate([tokens[:, first + t + 1] for t in range(self.k1)])
        x = np.array([theta["embedding.weight"][token] for token in new])
        y, self.state, new_traces = stack.forward(cell, x, self.state, rnn)
        top = y.reshape(self.k1 * streams, hidden_size)
        logits = top @ theta["head.weight"].T + theta["head.bias"]
        loss, dlogits = cross_entropy(logits, targets)

        # The tape keeps at most k2 steps; the older ones as they were.
        self.seen = (self.seen + new)[-self.k2 :]
        for layer in range(num_layers):
            self.traces[layer] = (self.traces[layer] + new_traces[layer])[-self.k2 :]
        steps = len(self.seen)

        # Back: only the k1 new steps have a loss of their own.
        dy = np.zeros((steps, streams, hidden_size))
        dy[steps - self.k1 :] = (dlogits @ theta["head.weight"]).reshape(self.k1, streams, hidden_size)
        g = stack.backward(cell, dy, None, self.traces, rnn)
        grad = {RNN + name: g[name] for name in rnn}
        grad["head.weight"] = dlogits.T @ top
        grad["head.bias"] = dlogits.sum(axis=0)
        grad["embedding.weight"] = np.zeros_like(theta["embedding.weight"])
        for t in range(steps):
            for stream in range(streams):
                grad["embedding.weight"][self.seen[t][stream]] += g["x"][t, stream]

        norm = np.sqrt(sum((value**2).sum() for value in grad.values()))
        self.grad = {name: value.copy() for name, value in grad.items()}
        if self.clip_value is not None:
            grad = {name: np.clip(value, -self.clip_value, self.clip_value) for name, value in grad.items()}
        if self.clip_norm is not None:
            length = np.sqrt(sum((value**2).sum() for value in grad.values()))
            scale = min(1.0, self.clip_norm / (length + 1e-6))
            grad = {name: scale * value for name, value in grad.items()}
        self.optimizer.step(theta, grad, learning_rate)
        return loss, norm

    def run(self, tokens, first, learning_rates):
        """One window after the other from `first` on; returns losses and norms."""
        results = [
            self.window(tokens, first + w * self.k1, learning_rate) for w, learning_rate in enumerate(learning_rates)
        ]
        return tuple(np.array(part) for part in zip(*results, strict=True))
