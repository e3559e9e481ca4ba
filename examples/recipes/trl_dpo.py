"""Preference tuning with TRL on: factory export CORPUS preference --to out/pairs. Pairs that hardly differ stay out."""

from datasets import load_dataset
from peft import LoraConfig
from trl import DPOConfig, DPOTrainer

pairs = load_dataset("parquet", data_dir="out/pairs", split="train").filter(lambda pair: pair["margin"] > 0.1)
trainer = DPOTrainer(
    "Qwen/Qwen2.5-1.5B-Instruct",
    args=DPOConfig("out/trl-dpo", beta=0.1, max_length=2048, learning_rate=5e-6, num_train_epochs=1),
    train_dataset=pairs.select_columns(["prompt", "chosen", "rejected"]),
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"),
)
trainer.train()
trainer.save_model()
