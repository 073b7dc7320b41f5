"""Which devices a run trains on: one, all of this machine, or those of many hosts.

Each class says how clips are split, where models are made, and which process writes.
TensorFlow, Keras and JAX are imported by functions, after the flags have been read.
"""

import contextlib
import importlib.util
import json
import os

from trainers.training import machine

LEAST_CLIPS = 8  # of a lane: products of fewer rows are slow
KERAS_ISSUE = "https://github.com/keras-team/keras/issues/20585"


def prepare(config):
    """Set what Keras and its backends read when they are imported.

    Args:
        config: the settings of the run.

    Raises:
        ValueError: if the environment asks for what Keras cannot do.
    """
    workers = _workers()
    if workers > 1:
        raise ValueError(
            f"TF_CONFIG: expected one worker at most, received {workers}; "
            "MultiWorkerMirroredStrategy does not work with the fit of Keras 3 "
            f"({KERAS_ISSUE}). Unset TF_CONFIG and start each host with --strategy "
            "hosts --coordinator HOST:PORT --hosts N --host-index I instead"
        )
    if config.run.strategy == "hosts":
        os.environ.setdefault("KERAS_BACKEND", "jax")
    check_backend()
    if config.training.deterministic:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()


def check_backend():
    """Raise ValueError unless nem_tf runs on Keras's backend, and it is installed."""
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in ("tensorflow", "jax"):
        raise ValueError(
            f"KERAS_BACKEND: expected tensorflow or jax, received {backend}; unset it"
        )
    if backend == "jax" and importlib.util.find_spec("jax") is None:
        raise ValueError(
            "KERAS_BACKEND: jax, which --strategy hosts takes, is not installed; pip "
            "install 'nem-tf[jax]', or with CUDA pip install 'jax[cuda12]'"
        )


def _workers():
    """How many processes TF_CONFIG names; 0 if it names none."""
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}")["cluster"]
        return sum(len(cluster.get(role, ())) for role in ("chief", "worker"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return 0


def choose(config):
    """The devices that a run trains on.

    Args:
        config: the settings of the run.

    Raises:
        ValueError: if the backend cannot do it, or a size does not divide.
    """
    import keras
    import tensorflow as tf

    if keras.backend.backend() == "jax":
        tf.config.set_visible_devices([], "GPU")  # tf.data needs none of their memory
        devices = _of_jax(config)
    elif config.run.strategy == "hosts":
        raise ValueError(
            f"strategy: expected Keras's JAX backend for hosts, received "
            f"{keras.backend.backend()}; unset KERAS_BACKEND or set it to jax"
        )
    elif config.run.strategy == "mirrored":
        devices = Mirrored()
    elif (
        config.run.strategy == "auto"
        and len(tf.config.list_physical_devices("GPU")) > 1
    ):
        devices = Mirrored()
    else:
        devices = OneDevice()
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    set_precision(config.training.precision)
    _check_compile(config.run.compile, devices)
    if config.run.lanes or devices.on_cpu:
        devices.lanes = config.run.lanes or lanes_of(config.clips.batch_size)
    if devices.on_cpu:
        share_cores(devices.lanes)
    check_divides("batch_size", config.clips.batch_size, devices.count)
    check_divides("validation_size", config.training.validation_size, devices.count)
    return devices


def _of_jax(config):
    import jax
    import keras

    if config.run.strategy == "hosts":
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        keras.distribution.initialize(
            config.run.coordinator, config.run.hosts, config.run.host_index
        )
    elif config.run.strategy == "one" or jax.device_count() == 1:
        return OneDevice()
    return DataParallel()


def set_precision(precision):
    """Set the precision of products, of models that are made from now on.

    Raises:
        ValueError: if there is no GPU for TF32.
    """
    import keras
    import tensorflow as tf

    on_jax = keras.backend.backend() == "jax"
    if precision == "tf32" and not (on_jax or tf.config.list_physical_devices("GPU")):
        raise ValueError(
            "precision: expected float32 or bfloat16 on a machine without a GPU, "
            "received tf32"
        )
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")
    if on_jax:
        import jax

        products = {"tf32": "tensorfloat32"}.get(precision, "float32")
        jax.config.update("jax_default_matmul_precision", products)
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    keras.config.set_dtype_policy(policy)


def _check_compile(wanted, devices):
    import keras

    if wanted == "off" and keras.backend.backend() == "jax":
        raise ValueError(
            "compile: expected auto or on with Keras's JAX backend, received off; JAX "
            "is XLA"
        )
    if wanted == "on" and isinstance(devices, Mirrored):
        raise ValueError(
            "compile: expected auto or off on several devices, received on; "
            "TensorFlow cannot compile there"
        )


def lanes_of(batch_size):
    """As many lanes as cores, if each has some clips to compute."""
    most = min(cores(), max(1, batch_size // LEAST_CLIPS))
    return max(n for n in range(1, most + 1) if batch_size % n == 0)


def cores():
    """How many cores this process may use."""
    return len(machine.cores())


def share_cores(lanes):
    """Give each lane its cores; nothing can be changed once TensorFlow has begun."""
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(max(1, cores() // lanes))


def check_divides(name, size, devices):
    """Raise ValueError unless `size` clips can be shared evenly.

    Args:
        name: of the setting.
        size: its value.
        devices: how many share it.
    """
    if size % devices:
        below = size // devices * devices
        nearest = [str(near) for near in (below, below + devices) if near]
        raise ValueError(
            f"{name}: expected a multiple of {devices}, the number of devices, "
            f"received {size}; the nearest: {' and '.join(nearest)}"
        )


class OneDevice:
    """The first GPU, or the CPU.

    Attributes:
        count: devices that share a batch.
        part: `(i, n)`; this process makes the i-th of n equal parts of each batch.
        writes: whether this process writes the run folder and talks.
        lanes: of `NeuralEM`.
    """

    count = 1
    part = (0, 1)
    writes = True
    lanes = 1

    @property
    def on_cpu(self):
        """Whether the one device is TensorFlow's CPU."""
        import keras
        import tensorflow as tf

        of_tensorflow = keras.backend.backend() == "tensorflow"
        return of_tensorflow and not tf.config.list_physical_devices("GPU")

    def scope(self):
        """Context in which a model for these devices is made."""
        return contextlib.nullcontext()

    def alone(self):
        """Context in which this process makes, uses and saves a model alone."""
        return contextlib.nullcontext()

    def predict(self, nem, batch):
        """Outputs of the model on a batch of arrays, by this process alone."""
        return nem.predict_on_batch(batch)

    def any(self, flag):
        """Whether `flag` holds on any host; all hosts ask at the same update."""
        return flag

    def from_first(self, data):
        """The bytes that host 0 has, on every host."""
        return data

    def close(self):
        """Leave the other hosts, once all have trained."""


class Mirrored(OneDevice):
    """All GPUs of this machine through `tf.distribute.MirroredStrategy`.

    Without a GPU its logical CPU devices, of which there is one unless told otherwise.
    """

    on_cpu = False  # several devices share the cores already

    def __init__(self):
        import tensorflow as tf

        gpus = tf.config.list_logical_devices("GPU")
        names = [one.name for one in gpus or tf.config.list_logical_devices("CPU")]
        self.count = len(names)
        self._strategy = tf.distribute.MirroredStrategy(names)

    def scope(self):
        return self._strategy.scope()

    def predict(self, nem, batch):
        # Each replica predicts the whole batch, and their outputs come one by one.
        clips = len(next(iter(batch.values())))
        outputs = nem.predict_on_batch(batch)
        return {name: value[:clips] for name, value in outputs.items()}


class DataParallel(OneDevice):
    """All devices of Keras's JAX backend, on this host or, once they met, on all."""

    on_cpu = False

    def __init__(self):
        import jax
        import keras

        self.count = jax.device_count()
        self.part = (jax.process_index(), jax.process_count())
        self.writes = jax.process_index() == 0
        self._distribution = keras.distribution.DataParallel(
            devices=jax.devices(), auto_shard_dataset=False
        )
        self._twin = None
        keras.distribution.set_distribution(self._distribution)

    @contextlib.contextmanager
    def alone(self):
        import keras

        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(self._distribution)

    def predict(self, nem, batch):
        weights = nem.get_weights()
        with self.alone():
            if self._twin is None:
                self._twin = type(nem).from_config(nem.get_config())
            self._twin.set_weights(weights)
            return self._twin.predict_on_batch(batch)

    def any(self, flag):
        if self.part[1] == 1:
            return flag
        import numpy as np
        from jax.experimental import multihost_utils

        return bool(np.any(multihost_utils.process_allgather(np.array(flag))))

    def from_first(self, data):
        if self.part[1] == 1:
            return data
        import numpy as np
        from jax.experimental import multihost_utils

        mine = np.frombuffer(data if self.writes else b"", np.uint8)
        size = multihost_utils.broadcast_one_to_all(np.array(len(mine), np.int32))
        mine = mine if self.writes else np.zeros(int(size), np.uint8)
        return np.asarray(multihost_utils.broadcast_one_to_all(mine)).tobytes()

    def close(self):
        import keras

        keras.distribution.set_distribution(None)
        if self.part[1] > 1:
            import jax

            jax.distributed.shutdown()
