import keras


def model(data, n_outputs, hparams):
    hidden = keras.layers.Dense(hparams["hiddenNeurons"], activation="tanh")(data)
    return {"code": hidden, "prediction": keras.layers.Dense(n_outputs)(hidden)}
