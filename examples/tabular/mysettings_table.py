"""A table with words, dates and missing cells, from a CSV file to a served answer: how far does a car go on a gallon?

Data: 398 cars of 1970 to 1982, StatLib / UCI "Auto MPG", CC BY 4.0 (datasamples/cars); a quarter of the rows validates.
Command: python experiments_manager.py --usersettings examples/tabular/mysettings_table.py
Time: 10 seconds on two cores. Score: root mean squared error 2.47 miles per gallon (2.40 to 2.55 with six seeds); mean 7.31,
linear regression 3.06, random forest 2.94. For a table of your own: change file and target.
"""

import keras

from DataProvider_input_pipeline import table

data = table("datasamples/cars/cars.csv", target="Miles_per_Gallon", split=0.25)

session_name = "cars"
workingFolder = "experiments/table"
model_file = "../../model_zoo/table_network.py"
hparams = {"hiddenNeurons": 64, "hiddenLayers": 2, "learningRate": 0.003, "weightDecay": 0.03}
n_outputs = data.n_outputs
raw_data_dir_train = raw_data_dir_val = "datasamples/cars"
batch_size = 32
nbEpoch = 40
initial_learning_rate = hparams["learningRate"]
weights_moving_average_decay = 0.98
baseline = True
served_head = "prediction"

data_preprocess = data.data_preprocess
get_total_loss = data.get_total_loss
get_eval_metric_ops = data.get_eval_metric_ops
get_input_pipeline_train_val = data.get_input_pipeline_train_val
get_input_pipeline_serving = data.get_input_pipeline_serving
model_outputs_postprocessing_for_serving = data.model_outputs_postprocessing_for_serving
Client_IO = data.Client_IO


def getOptimizer(learning_rate):
    return keras.optimizers.AdamW(learning_rate, weight_decay=hparams["weightDecay"])
