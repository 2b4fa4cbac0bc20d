"""BibTeX entries of the methods, which the parts of the library name as their sources."""

DML = """@inproceedings{zhang2018deep,
  author    = {Zhang, Ying and Xiang, Tao and Hospedales, Timothy M. and Lu, Huchuan},
  title     = {Deep Mutual Learning},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2018}
}"""

SONG_CHAI = """@inproceedings{song2018collaborative,
  author    = {Song, Guocong and Chai, Wei},
  title     = {Collaborative Learning for Deep Neural Networks},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {31},
  year      = {2018}
}"""

ONE = """@inproceedings{lan2018knowledge,
  author    = {Lan, Xu and Zhu, Xiatian and Gong, Shaogang},
  title     = {Knowledge Distillation by On-the-Fly Native Ensemble},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {31},
  year      = {2018}
}"""

OKDDIP = """@inproceedings{chen2020online,
  author    = {Chen, Defang and Mei, Jian-Ping and Wang, Can and Feng, Yan and Chen, Chun},
  title     = {Online Knowledge Distillation with Diverse Peers},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  volume    = {34},
  year      = {2020},
  doi       = {10.1609/aaai.v34i04.5746}
}"""

CGL = """@inproceedings{feng2021collaborative,
  author    = {Feng, Shaoxiong and Chen, Hongshen and Ren, Xuancheng and Ding, Zhuoye and Li, Kan and Sun, Xu},
  title     = {Collaborative Group Learning},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  volume    = {35},
  year      = {2021}
}"""

KDCL = """@inproceedings{guo2020online,
  author    = {Guo, Qiushan and Wang, Xinjiang and Wu, Yichao and Yu, Zhipeng and Liang, Ding and Hu, Xiaolin and
               Luo, Ping},
  title     = {Online Knowledge Distillation via Collaborative Learning},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {11020--11029},
  year      = {2020}
}"""

BYOT = """@inproceedings{zhang2019your,
  author    = {Zhang, Linfeng and Song, Jiebo and Gao, Anni and Chen, Jingwei and Bao, Chenglong and Ma, Kaisheng},
  title     = {Be Your Own Teacher: Improve the Performance of Convolutional Neural Networks via Self Distillation},
  booktitle = {IEEE/CVF International Conference on Computer Vision (ICCV)},
  year      = {2019}
}"""

PCL = """@inproceedings{wu2021peer,
  author    = {Wu, Guile and Gong, Shaogang},
  title     = {Peer Collaborative Learning for Online Knowledge Distillation},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  volume    = {35},
  year      = {2021},
  doi       = {10.1609/aaai.v35i12.17234}
}"""

TEMPORAL_ENSEMBLING = """@inproceedings{laine2017temporal,
  author    = {Laine, Samuli and Aila, Timo},
  title     = {Temporal Ensembling for Semi-Supervised Learning},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2017}
}"""

INTRA = """@misc{fang2021intra,
  author        = {Fang, Shijie and Lin, Tong},
  title         = {Intra-Model Collaborative Learning of Neural Networks},
  year          = {2021},
  eprint        = {2105.09590},
  archiveprefix = {arXiv}
}"""

GOOGLENET = """@inproceedings{szegedy2015going,
  author    = {Szegedy, Christian and Liu, Wei and Jia, Yangqing and Sermanet, Pierre and Reed, Scott and
               Anguelov, Dragomir and Erhan, Dumitru and Vanhoucke, Vincent and Rabinovich, Andrew},
  title     = {Going Deeper with Convolutions},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2015}
}"""

CHRONOLOGICAL = [GOOGLENET, TEMPORAL_ENSEMBLING, DML, SONG_CHAI, ONE, BYOT, OKDDIP, KDCL, CGL, PCL, INTRA]
