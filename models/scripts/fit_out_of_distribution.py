"""Gives a network an output that says how far an image is from those it learned from.

For each of the maps named, three statistics a channel: mean, standard deviation, share above zero (`map:2` takes
every second row and column, which is faster and says as much of a large map). Their covariance over the images, shrunk by Ledoit and Wolf's rule, makes a Mahalanobis distance, which the graph then
reckons itself: `features` [N, statistics] and `distance` [N, 1]. Nothing but the images of the first file is
fitted; the other files are only measured.

    pip install numpy onnx onnxruntime scikit-learn
    python models/scripts/fit_out_of_distribution.py WEIGHTS.onnx NEW.onnx --maps stem_r:4,b0s_r:2,b1s_r,b2s_r,b3s_r \
        --fit CHILDREN.npz --outside ADULTS.npz

A file holds `images` (8-bit grey, [N, rows, columns] of the network's size), and for --fit, where an entry has more
than one image of a patient, `patient`; `train_images` and `val_images` do as well.
"""

import argparse

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

INPUT = "image"


def images_of(path):
    """Images and their patients; each image is a patient of its own where the file does not say."""
    data = np.load(path)
    if "images" in data:
        images = data["images"]
    else:
        images = np.concatenate([data["train_images"], data["val_images"]])
    return images, data["patient"] if "patient" in data else np.arange(len(images))


def run(model, images, output):
    """One output of a network for 8-bit grey images."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    batches = (images[start : start + 32] for start in range(0, len(images), 32))
    return np.concatenate([session.run([output], {INPUT: b[:, None].astype(np.float32) / 255})[0] for b in batches])


def with_features(model, maps):
    """The network with the output `features`; no node that was there is touched."""
    graph, parts = model.graph, []
    for place, told in enumerate(maps):
        name, _, step = told.partition(":")

        def node(kind, inputs, what, place=place, **attributes):
            output = f"ood_{place}_{what}"
            graph.node.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
            return output

        if step:
            name = node("MaxPool", [name], "sparse", kernel_shape=[1, 1], strides=[int(step)] * 2)
        mean = node("GlobalAveragePool", [name], "mean")
        away = node("Sub", [name, mean], "away")
        variance = node("GlobalAveragePool", [node("Mul", [away, away], "squares")], "variance")
        share = node("GlobalAveragePool", [node("Sign", [name], "sign")], "share")
        for part in (mean, node("Sqrt", [variance], "deviation"), share):
            parts.append(node("Flatten", [part], part.rsplit("_", 1)[1] + "_flat", axis=1))
    graph.node.append(helper.make_node("Concat", parts, ["features"], name="features", axis=1))
    graph.output.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", None]))
    return model


def fit(features):
    """Mean, and the matrix that makes (features - mean) @ matrix white."""
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    covariance = LedoitWolf(assume_centered=True).fit((features - mean) / deviation).covariance_
    values, vectors = np.linalg.eigh(covariance)
    return mean, vectors / np.sqrt(values) / deviation[:, None]


def small(matrix):
    """The matrix in 8 bits with one scale a column."""
    deviation = np.abs(matrix).max(1, keepdims=True)
    scale = np.abs(matrix / deviation).max(0) / 127
    return np.round(matrix / deviation / scale).astype(np.int8), deviation.ravel(), scale


def distance(features, mean, matrix):
    """Mahalanobis distance, with the matrix as the graph will hold it."""
    steps, deviation, scale = small(matrix)
    return np.sqrt(((((features - mean) * deviation) @ steps.astype(np.float64) * scale) ** 2).sum(1))


def with_distance(model, mean, matrix):
    """The network with the output `distance`."""
    graph = model.graph
    steps, deviation, scale = small(matrix)
    values = {"mean": mean[None], "deviation": deviation[None], "scale": scale[None]}
    for name, value in values.items():
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), f"ood_{name}"))
    graph.initializer.append(numpy_helper.from_array(steps, "ood_steps"))
    for kind, inputs, output, attributes in [
        ("Sub", ["features", "ood_mean"], "ood_centred", {}),
        ("Mul", ["ood_centred", "ood_deviation"], "ood_scaled", {}),
        ("Cast", ["ood_steps"], "ood_matrix", {"to": TensorProto.FLOAT}),
        ("MatMul", ["ood_scaled", "ood_matrix"], "ood_turned", {}),
        ("Mul", ["ood_turned", "ood_scale"], "ood_white", {}),
        ("ReduceL2", ["ood_white"], "distance", {"axes": [1], "keepdims": 1}),
    ]:
        graph.node.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
    graph.output.append(helper.make_tensor_value_info("distance", TensorProto.FLOAT, ["N", 1]))
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("written")
    parser.add_argument("--maps", required=True, help="tensors of the graph, TENSOR or TENSOR:STEP, with commas between")
    parser.add_argument("--fit", required=True, help="images that the network is for (npz)")
    parser.add_argument("--outside", action="append", default=[], help="images that it is not for; measured only")
    parser.add_argument("--scored", type=float, default=0.92, help="share of --fit that is to be scored")
    parser.add_argument("--folds", type=int, default=10)
    told = parser.parse_args()

    images, patients = images_of(told.fit)
    model = with_features(onnx.load(told.weights), told.maps.split(","))
    features = run(model, images, "features").astype(np.float64)
    held_out, others = np.zeros(len(images)), {path: [] for path in told.outside}
    outside = {path: run(model, images_of(path)[0], "features").astype(np.float64) for path in told.outside}
    for known, unknown in GroupKFold(told.folds, shuffle=True, random_state=0).split(images, groups=patients):
        fitted = fit(features[known])
        held_out[unknown] = distance(features[unknown], *fitted)
        for path in told.outside:
            others[path].append(distance(outside[path], *fitted))
    limit = np.quantile(held_out, told.scored)
    print(f"{features.shape[1]} statistics, {len(images)} images, {told.folds} folds by patient")
    print(f"threshold = {limit:.3f}: scores {np.mean(held_out <= limit):.3f} of the images held out in turn")
    for path, found in others.items():
        found = np.mean(found, 0)
        auroc = roc_auc_score(np.repeat([0, 1], [len(held_out), len(found)]), np.r_[held_out, found])
        at = [f"{np.mean(found > np.quantile(held_out, share)):.3f} at {share}" for share in (0.9, 0.93, 0.95)]
        print(f"{path}: {len(found)} images, AUROC {auroc:.4f}, abstained {', '.join(at)}")

    model = with_distance(model, *fit(features))
    onnx.checker.check_model(model)
    onnx.save(model, told.written)


if __name__ == "__main__":
    main()
